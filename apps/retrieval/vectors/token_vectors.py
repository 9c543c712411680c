"""How token vectors are made small enough to store: a projection fitted for one encoder, and their form in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.maxsim import quantize
from core.types import FloatArray

_LEAST_WEIGHT = 0.3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenProjection:
    """Principal components of an encoder's centred token vectors, and how much a token says.

    `mean` float32[dim], `components` float32[dim, kept], `idf` float32[kept] with `idf_bias`: a linear guess of a token's
    inverse document frequency from its projected vector, so that no vocabulary is needed.
    """

    encoder: str
    mean: FloatArray
    components: FloatArray
    idf: FloatArray
    idf_bias: float

    @property
    def kept(self) -> int:
        """Dimensions of a projected token."""
        return self.components.shape[1]

    def project(self, token_vectors: FloatArray) -> FloatArray:
        """float32[tokens, kept] with unit rows, from unit rows float32[tokens, dim]."""
        rows = (token_vectors - self.mean) @ self.components
        unit: FloatArray = rows / (np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None] + 1e-9)
        return unit

    def informativeness(self, projected: FloatArray) -> FloatArray:
        """float32[tokens], above 0: the square of the guessed inverse document frequency."""
        guess = np.maximum(projected @ self.idf + self.idf_bias, _LEAST_WEIGHT)
        return np.asarray(guess * guess, dtype=np.float32)


def load_projection(model_id: str) -> TokenProjection | None:
    """The projection fitted for this encoder, or None where there is none: token vectors are then not stored."""
    return _packaged().get(weights_of(model_id))


def weights_of(model_id: str) -> str:
    """The part of an encoder's id that tells its weights and prefixes, not the name of its folder."""
    return model_id.rpartition("@")[2]


def pack_tokens(model_id: str, token_vectors: Sequence[FloatArray]) -> list[bytes | None]:
    """What `EntryVector.tokens` keeps of each text: int8[tokens, kept], 128 bytes a token; None without a projection."""
    projection = load_projection(model_id)
    if projection is None:
        return [None] * len(token_vectors)
    return [quantize(projection.project(np.asarray(rows, dtype=np.float32))).tobytes() if len(rows) else b"" for rows in token_vectors]


def unpack_tokens(model_id: str, packed: bytes | memoryview | None) -> NDArray[np.int8] | None:
    """int8[tokens, kept] as `core.maxsim` takes it, or None where nothing is stored."""
    projection = load_projection(model_id)
    if projection is None or packed is None:
        return None
    return np.frombuffer(packed, dtype=np.int8).reshape(-1, projection.kept)


def write_projection(path: Path, projection: TokenProjection) -> None:
    """Writes the .npz file that is packaged; float16 where rounding is harmless (it moves MaxSim by less than .001)."""
    np.savez_compressed(
        path,
        encoder=np.array(projection.encoder),
        mean=projection.mean.astype(np.float16),
        components=projection.components.astype(np.float16),
        idf=projection.idf,
        idf_bias=np.array(projection.idf_bias, dtype=np.float32),
    )


@cache
def _packaged() -> dict[str, TokenProjection]:
    folder = resources.files("apps.retrieval.vectors").joinpath("projections")
    projections = [_read(file) for file in folder.iterdir() if file.name.endswith(".npz")] if folder.is_dir() else []
    return {weights_of(projection.encoder): projection for projection in projections}


def _read(file: resources.abc.Traversable) -> TokenProjection:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return TokenProjection(
            encoder=str(arrays["encoder"]),
            mean=arrays["mean"].astype(np.float32),
            components=arrays["components"].astype(np.float32),
            idf=arrays["idf"].astype(np.float32),
            idf_bias=float(arrays["idf_bias"]),
        )
