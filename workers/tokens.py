"""Which token ids a text becomes: prefix, truncation, and where the person's own tokens begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from core.types import Role
from workers.sentence_model import SentenceModel

CHARS_PER_TOKEN = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizedText:
    """Token ids with special tokens; `ids[start:end]` are the text's own, without special tokens and prefix.

    `wants_tokens` asks the encoder for the text's token vectors too.
    """

    ids: list[int]
    start: int
    end: int
    wants_tokens: bool = False


class TextTokenizer:
    """The fast tokenizer of a folder, safe to call from many threads.

    A literal `<s>` or `[MASK]` in a text never becomes a special token: added tokens are not looked for in texts, and an id
    of one that the vocabulary yields all the same is replaced by the unknown token.
    """

    def __init__(self, model: SentenceModel) -> None:
        self._tokenizer = load_tokenizer(model.folder)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(model.max_tokens)
        self._tokenizer.encode_special_tokens = True
        self._max_chars = model.max_tokens * CHARS_PER_TOKEN
        self._prefixes = model.prefixes
        self._prefix_tokens = {role: self._count(prefix.rstrip()) for role, prefix in model.prefixes.items()}
        mask = self._tokenizer.encode("a").special_tokens_mask
        self._before = mask.index(0)
        self._after = mask[::-1].index(0)
        self._specials, self._unknown = special_ids(self._tokenizer)

    def tokenize(self, texts: Sequence[str], role: Role, *, wants_tokens: bool = False) -> list[TokenizedText]:
        """The texts as the encoder takes them, each cut to the model's length."""
        prefixed = [self._prefixes[role] + well_formed(text[: self._max_chars]) for text in texts]
        encodings = [self._tokenizer.encode(prefixed[0])] if len(prefixed) == 1 else self._tokenizer.encode_batch_fast(prefixed)
        return [self._describe(encoding, role, wants_tokens) for encoding in encodings]

    def _describe(self, encoding: Encoding, role: Role, wants_tokens: bool) -> TokenizedText:
        ids: list[int] = encoding.ids
        end = len(ids) - self._after
        if not self._specials.isdisjoint(ids[self._before : end]):
            ids[self._before : end] = [self._unknown if token in self._specials else token for token in ids[self._before : end]]
        start = min(self._before + self._prefix_tokens[role], end)
        return TokenizedText(ids=ids, start=start, end=end, wants_tokens=wants_tokens)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids) if text else 0


def special_ids(tokenizer: Tokenizer) -> tuple[frozenset[int], int]:
    """Ids that a person's text must not contain, and what stands in for them."""
    special = {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    unknown = next((special[name] for name in ("<unk>", "[UNK]") if name in special), None)
    if unknown is None:
        return frozenset(), 0
    return frozenset(special.values()) - {unknown}, unknown


def well_formed(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, as question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a model's folder."""
    path = folder / "tokenizer.json"
    if path.is_file():
        return Tokenizer.from_file(str(path))
    from transformers import AutoTokenizer

    tokenizer: Tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    return tokenizer
