"""How entries become vectors: in which role each kind is encoded, and what is stored of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apps.retrieval.token_vectors import pack_tokens
from core.backends import get_backend
from core.config import get_settings
from core.errors import ModelUnavailable
from core.protocols import Encoder
from core.types import EntryKind, FloatArray, Role

log = logging.getLogger(__name__)

# An FAQ's phrasing is a question like the one asked: encoders of the e5 family match like with like better in one role.
ROLES: Mapping[EntryKind, Role] = {
    EntryKind.FAQ: Role.QUERY,
    EntryKind.PASSAGE: Role.PASSAGE,
    EntryKind.QUESTION: Role.QUERY,
}
KINDS_WITH_TOKENS = frozenset({EntryKind.FAQ})


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


def encode_texts(texts: Iterable[tuple[EntryKind, str]]) -> EncodedTexts:
    """Encodes each different text once. Raises ModelUnavailable where no encoder can be reached."""
    model = encoder()
    unique = list(dict.fromkeys(texts))
    vectors = np.empty((len(unique), model.dim), dtype=np.float32)
    tokens: list[bytes | None] = [None] * len(unique)
    for kind, role in ROLES.items():
        places = [place for place, (own, _) in enumerate(unique) if own is kind]
        ours = [unique[place][1] for place in places]
        if kind in KINDS_WITH_TOKENS and ours:
            pairs = model.encode_tokens(ours, role)
            vectors[places] = np.stack([vector for vector, _ in pairs])
            for place, packed in zip(places, pack_tokens(model.model_id, [rows for _, rows in pairs]), strict=True):
                tokens[place] = packed
        elif ours:
            vectors[places] = model.encode(ours, role)
    return EncodedTexts(model.model_id, {text: place for place, text in enumerate(unique)}, vectors, tokens)


def encode_if_possible(texts: Sequence[tuple[EntryKind, str]]) -> EncodedTexts | None:
    """Like `encode_texts`, but None where there is nothing to encode or no encoder (the caller goes on without)."""
    if not texts:
        return None
    try:
        return encode_texts(texts)
    except ModelUnavailable as error:
        log.warning("encoding skipped error=%s texts=%d", error.code, len(texts))
        return None
