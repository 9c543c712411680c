"""How features become a score and a probability: coefficients fitted for one encoder, read from JSON files in this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources

from apps.retrieval.vectors.token_vectors import TokenProjection, load_projection, weights_of
from core.types import JSONValue, Locale


class Evidence(StrEnum):
    """What a match rests on; each has a fit of its own, so that a probability means the same with less to go by."""

    TOKENS = "tokens"
    VECTORS = "vectors"
    LEXICAL = "lexical"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Linear scores by feature name: `ranking` orders candidates; `confidence` with `intercept` is a logit; both additive.

    At least `threshold` of confidence is needed to answer.
    """

    ranking: Mapping[str, float]
    confidence: Mapping[str, float]
    intercept: float
    threshold: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The fits for the encoder `encoder`, one for each language of the question and kind of evidence.

    `typical_density` is that of the bases fitted on, for bases that are too small to tell (see `features.settled_density`).
    `is_fallback` says that none was fitted for the encoder in use; `provenance` says on what the fits rest and how good
    they were on held-out folds; `projection` is None where the encoder has none: token vectors are then no evidence.
    """

    encoder: str
    fits: Mapping[Locale, Mapping[Evidence, Fit]]
    typical_density: float = 0.0
    is_fallback: bool = False
    provenance: Mapping[str, JSONValue] = field(default_factory=dict)
    projection: TokenProjection | None = None


def load_calibration(model_id: str) -> Calibration:
    """The calibration fitted for this encoder; for an encoder that none was fitted for, the conservative fallback."""
    return _packaged().get(weights_of(model_id)) or fallback()


@cache
def fallback() -> Calibration:
    """For unknown encoders: words alone give confidence, since no two encoders spread their cosines alike."""
    fit = Fit(ranking={"cosine": 1.0, "bm25": 0.1}, confidence={"bm25": 8.0}, intercept=-5.0, threshold=0.5)
    return Calibration(encoder="", fits={locale: dict.fromkeys(Evidence, fit) for locale in Locale}, is_fallback=True)


def parse_calibration(content: str) -> Calibration:
    """A calibration from its JSON text. Raises ValueError, KeyError or TypeError where it is not one."""
    row = json.loads(content)
    fits = {Locale(locale): {Evidence(name): Fit(**fit) for name, fit in parts.items()} for locale, parts in row["fits"].items()}
    missing = [f"{locale}.{name}" for locale in Locale for name in Evidence if name not in fits.get(locale, {})]
    if missing:
        raise ValueError(f"No fit for {', '.join(missing)}.")
    return Calibration(
        encoder=row["encoder"],
        fits=fits,
        typical_density=row["typical_density"],
        provenance=row["provenance"],
        projection=load_projection(row["encoder"]),
    )


def dump_calibration(calibration: Calibration) -> str:
    """The JSON text that `parse_calibration` reads."""
    fits = {locale.value: {name.value: asdict(fit) for name, fit in parts.items()} for locale, parts in calibration.fits.items()}
    row = {
        "encoder": calibration.encoder,
        "typical_density": calibration.typical_density,
        "provenance": dict(calibration.provenance),
        "fits": fits,
    }
    return json.dumps(row, indent=1, ensure_ascii=False) + "\n"


@cache
def _packaged() -> dict[str, Calibration]:
    files = (file for file in resources.files("apps.faq").joinpath("calibrations").iterdir() if file.name.endswith(".json"))
    calibrations = (parse_calibration(file.read_text(encoding="utf-8")) for file in files)
    return {weights_of(calibration.encoder): calibration for calibration in calibrations}
