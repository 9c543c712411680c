"""How entries become vectors: in which role each kind is encoded, and what is stored of it.

Texts are encoded in simplified characters: multilingual encoders have seen far fewer traditional ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from apps.retrieval.indexes.analysis import simplify
from apps.retrieval.vectors.token_vectors import pack_tokens
from core.backends import get_backend
from core.config import get_settings
from core.errors import ModelUnavailable, Overloaded
from core.protocols import Encoder
from core.types import EntryKind, FloatArray, Role

log = logging.getLogger(__name__)

BATCH_TEXTS = 256
TOKEN_TEXTS = 64  # whose token vectors are in memory at full size at a time: 64 passages of 300 tokens take 30 MB
FEWEST_TEXTS = 16  # before the model at a time, where it is slow: whoever comes next waits for them
SLICE_S = 1.0
OVERLOAD_TRIES = 30
T = TypeVar("T")

# An FAQ's phrasing is a question like the one asked: encoders of the e5 family match like with like better in one role.
ROLES: Mapping[EntryKind, Role] = {
    EntryKind.FAQ: Role.QUERY,
    EntryKind.PASSAGE: Role.PASSAGE,
    EntryKind.QUESTION: Role.QUERY,
}
KINDS_WITH_TOKENS = frozenset({EntryKind.FAQ, EntryKind.PASSAGE})


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """Vectors float32[n, dim] and packed token vectors (or None) of n texts, the place of each, and who made them."""

    encoder: str
    places: Mapping[tuple[EntryKind, str], int]
    vectors: FloatArray
    tokens: Sequence[bytes | None]


def encoder() -> Encoder:
    """The process's encoder."""
    return get_backend(get_settings().encoder_backend, Encoder)  # type: ignore[type-abstract]


def encode_texts(texts: Iterable[tuple[EntryKind, str]], *, check: Callable[[], None] = lambda: None) -> EncodedTexts:
    """Encodes each different text once. Raises ModelUnavailable where no encoder can be reached.

    `check` is called every second or so and may raise.
    """
    model = encoder()
    unique = list(dict.fromkeys(texts))
    vectors = np.empty((len(unique), model.dim), dtype=np.float32)
    tokens: list[bytes | None] = [None] * len(unique)
    for kind, role in ROLES.items():
        places = [place for place, (own, _) in enumerate(unique) if own is kind]
        ours = [simplify(unique[place][1]) for place in places]
        if kind in KINDS_WITH_TOKENS:
            start = 0
            while start < len(ours):
                check()
                end, begun = start + _slice.texts, time.monotonic()
                _encode_with_tokens(model, ours[start:end], role, places[start:end], vectors, tokens)
                _slice.keep(min(end, len(ours)) - start, time.monotonic() - begun)
                start = end
        elif ours:
            vectors[places] = model.encode(ours, role)
    return EncodedTexts(model.model_id, {text: place for place, text in enumerate(unique)}, vectors, tokens)


class _Slice:
    """How many texts go before the model at a time: about a second's work of it, so that two imports share it fairly."""

    def __init__(self) -> None:
        self.texts = FEWEST_TEXTS

    def keep(self, texts: int, seconds: float) -> None:
        """Learns from a slice."""
        if texts >= self.texts and seconds < SLICE_S / 2:
            self.texts = min(TOKEN_TEXTS, self.texts * 2)
        elif seconds > SLICE_S * 2:
            self.texts = max(FEWEST_TEXTS, self.texts // 2)


_slice = _Slice()


def _encode_with_tokens(
    model: Encoder, texts: Sequence[str], role: Role, places: Sequence[int], vectors: FloatArray, tokens: list[bytes | None]
) -> None:
    """Puts the vectors and the packed token vectors of some texts in their places."""
    pairs = model.encode_tokens(texts, role)
    vectors[list(places)] = np.stack([vector for vector, _ in pairs])
    for place, packed in zip(places, pack_tokens(model.model_id, [rows for _, rows in pairs]), strict=True):
        tokens[place] = packed


def encode_if_possible(texts: Sequence[tuple[EntryKind, str]], *, check: Callable[[], None] = lambda: None) -> EncodedTexts | None:
    """Like `encode_texts`, but None where there is nothing to encode or no encoder (the caller goes on without)."""
    if not texts:
        return None
    try:
        return encode_texts(texts, check=check)
    except ModelUnavailable as error:
        log.warning("encoding skipped error=%s texts=%d", error.code, len(texts))
        return None


def encode_in_batches(texts: Iterable[tuple[EntryKind, str]], *, check: Callable[[], None] = lambda: None) -> EncodedTexts | None:
    """Like `encode_if_possible` for any number of texts: a bounded number waits for the model at a time, and it waits for a busy one.

    Where the encoder goes away midway, what it made so far. Raises Overloaded where it stays busy for very long.
    """
    unique = list(dict.fromkeys(texts))
    parts: list[EncodedTexts] = []
    for start in range(0, len(unique), BATCH_TEXTS):
        batch = unique[start : start + BATCH_TEXTS]
        encoded = when_free(lambda batch=batch: encode_if_possible(batch, check=check))  # type: ignore[misc]
        if encoded is None or (parts and encoded.encoder != parts[0].encoder):
            break
        parts.append(encoded)
    return _joined(parts) if parts else None


def when_free(work: Callable[[], T]) -> T:
    """What `work` gives, tried again while people's questions keep the encoder busy: an import can wait."""
    for _ in range(OVERLOAD_TRIES):
        try:
            return work()
        except Overloaded as error:
            time.sleep(float(error.details.get("retry_after_s") or 1.0))  # type: ignore[arg-type]
    return work()


def _joined(parts: Sequence[EncodedTexts]) -> EncodedTexts:
    places: dict[tuple[EntryKind, str], int] = {}
    for part in parts:
        places |= {text: len(places) + place for text, place in part.places.items()} if places else part.places
    return EncodedTexts(
        parts[0].encoder, places, np.concatenate([part.vectors for part in parts]), [t for part in parts for t in part.tokens]
    )
