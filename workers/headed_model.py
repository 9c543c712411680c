"""How are models with a head on top (cross-encoder, tagger) loaded and run? Any folder that transformers knows.

Their batches are long and few, so unlike the encoder's one short question they gain nothing from a forward pass of our own.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding
from torch import Tensor

from core.config import Settings
from core.errors import ConfigurationError
from workers.batch_limits import Limits, limits_for
from workers.device import choose_device, choose_dtype, set_threads
from workers.sentence_model import max_tokens, read_json
from workers.tokens import CHARS_PER_TOKEN, load_tokenizer, special_ids, well_formed
from workers.weights import verify, weights_sha256

CPU_BATCH_TOKENS = 1024


class Head(StrEnum):
    """What stands on the model: the class of transformers that loads it."""

    TEXT = "AutoModelForSequenceClassification"
    TOKENS = "AutoModelForTokenClassification"


@dataclass(frozen=True, slots=True)
class TokenizedInput:
    """Token ids with special tokens, and to which of two texts each belongs."""

    ids: list[int]
    type_ids: list[int]


class HeadedModel:
    """One model on one device. `logits` must not be called by two threads at once: a batcher stands before it.

    A text that is too long is cut; what follows are the encoding's `overflowing` windows, each with `overlap` tokens of the one
    before. Raises ModelUnavailable for a missing or damaged folder, ConfigurationError where its weights lack the head (transformers
    would fill it with random numbers) or cannot be run as asked.
    """

    def __init__(
        self, folder: Path, head: Head, *, device: str = "auto", precision: str = "auto", threads: int = 0, overlap: int = 0
    ) -> None:
        verify(folder, hashes=False)
        self.device = choose_device(device)
        self.threads = set_threads(threads)
        self.name = folder.name
        self.model_id = f"{folder.name}@{weights_sha256(folder)[:12]}"
        self._model = _load(folder, head, choose_dtype(precision, self.device)).to(self.device).eval()
        self._type_ids = _segments(self._model, folder)
        config: Any = self._model.config
        self.labels: dict[int, str] = dict(config.id2label)
        self._max_tokens = max_tokens(folder, read_json(folder / "config.json"))
        self._tokenizer = load_tokenizer(folder)
        self._tokenizer.no_padding()
        self.overlap = min(overlap, self._max_tokens // 4)
        self._tokenizer.enable_truncation(self._max_tokens, stride=self.overlap, strategy="longest_first")
        self._tokenizer.encode_special_tokens = True
        self._specials, self._unknown = special_ids(self._tokenizer)

    def encode(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[Encoding]:
        """The tokenizer's reading of texts or of pairs, each cut to the model's length, of a pair the longer text first. From any thread."""
        return list(self._tokenizer.encode_batch([self._bounded(text) for text in texts]))

    def input_of(self, encoding: Encoding) -> TokenizedInput:
        """What `logits` takes. A literal `[SEP]` in a text is not the special token of this name."""
        ids = [
            self._unknown if token in self._specials and not special else token
            for token, special in zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        ]
        return TokenizedInput(ids, [min(segment, self._type_ids - 1) for segment in encoding.type_ids] if self._type_ids else [])

    @torch.inference_mode()
    def logits(self, batch: Sequence[TokenizedInput]) -> Tensor:
        """float32[n, labels] or float32[n, longest, labels] on the CPU, padded on the right to the longest."""
        torch.get_num_threads()  # gives this thread the number of threads that was set
        longest = max(len(one.ids) for one in batch)
        mask = [[1] * len(one.ids) + [0] * (longest - len(one.ids)) for one in batch]
        given = {"input_ids": [_padded(one.ids, longest) for one in batch], "attention_mask": mask}
        if self._type_ids:
            given["token_type_ids"] = [_padded(one.type_ids, longest) for one in batch]
        result: Tensor = self._model(**{name: torch.tensor(rows, device=self.device) for name, rows in given.items()}).logits
        return result.float().cpu()

    def limits(self, settings: Settings) -> Limits:
        """Of the batcher before this model. Longer batches are no faster on a CPU, and who comes next would wait for them."""
        return limits_for(settings, on_cpu=self.device.type == "cpu", cpu_tokens=CPU_BATCH_TOKENS)

    def _bounded(self, text: str | tuple[str, str]) -> str | tuple[str, str]:
        """Without what no tokenizer takes, and without characters that can never fit."""
        longest = self._max_tokens * CHARS_PER_TOKEN
        if isinstance(text, str):
            return well_formed(text[:longest])
        return well_formed(text[0][:longest]), well_formed(text[1][:longest])


def _load(folder: Path, head: Head, dtype: torch.dtype) -> torch.nn.Module:
    import transformers

    _refuse_another_head(folder, head)
    try:
        loaded = getattr(transformers, head.value).from_pretrained(
            folder, local_files_only=True, dtype=dtype, output_loading_info=True, use_safetensors=_has_safetensors(folder)
        )
    except ValueError as error:
        raise ConfigurationError(f"{folder.name} cannot be loaded as {head.value}: {error}") from error
    model: torch.nn.Module = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        raise ConfigurationError(f"{folder.name} is no model for {head.value}: its weights lack {', '.join(missing[:3])}.")
    return model


def _refuse_another_head(folder: Path, head: Head) -> None:
    """By the class that saved it: heads of two kinds can have weights of one shape."""
    made_by = read_json(folder / "config.json").get("architectures")
    wanted = head.value.removeprefix("AutoModel")
    if isinstance(made_by, list) and made_by and not any(str(name).endswith(wanted) for name in made_by):
        raise ConfigurationError(f"{folder.name} is a {', '.join(map(str, made_by))}; wanted is a model {wanted}.")


def _has_safetensors(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _segments(model: torch.nn.Module, folder: Path) -> int:
    """How many texts of an input the model tells apart; 0 where it takes no such ids, or was trained without them."""
    inputs = read_json(folder / "tokenizer_config.json").get("model_input_names")
    if "token_type_ids" not in inspect.signature(model.forward).parameters or (inputs and "token_type_ids" not in str(inputs)):
        return 0
    return int(getattr(model.config, "type_vocab_size", 0) or 0)


def _padded(row: list[int], longest: int) -> list[int]:
    return row + [0] * (longest - len(row))
