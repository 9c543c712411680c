"""Which token ids a chat becomes: the model's own template and tokenizer; a person's text never makes a control token."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from core.errors import InvalidRequest, ModelUnavailable


class ChatTokenizer:
    """The tokenizer and chat template of a folder. Raises ModelUnavailable where the folder has none."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, ImportError) as error:
            raise ModelUnavailable(f"{folder} has no usable tokenizer: {str(error).splitlines()[0]}", folder=str(folder)) from error
        if not self._tokenizer.chat_template:
            raise ModelUnavailable(f"{folder} has no chat template: it is no instruction model.", folder=str(folder))
        self._specials = sorted((token for token in self._tokenizer.all_special_tokens if len(token) > 1), key=len, reverse=True)
        self._lock = threading.Lock()

    @property
    def end_id(self) -> int | None:
        """The token that ends a text, as the tokenizer knows it."""
        return self._tokenizer.eos_token_id  # type: ignore[no-any-return]

    def prompt(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """The chat up to where the assistant begins. Raises InvalidRequest where the model's template refuses it."""
        from jinja2 import TemplateError

        chat = [{"role": role, "content": self._harmless(text)} for role, text in messages]
        try:
            with self._lock:
                text = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
                return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        except TemplateError as error:
            raise InvalidRequest(f"The model's chat template refuses these messages: {error}.", field="messages") from error

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, without control tokens; bytes that make no character become U+FFFD."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _harmless(self, text: str) -> str:
        """The text with a space within each literal control token (`< |im_end|>`), and without lone surrogates."""
        text = text.encode("utf-8", errors="replace").decode("utf-8")
        for special in self._specials:
            text = text.replace(special, f"{special[0]} {special[1:]}")
        return text
