"""How features become a score and a probability: coefficients fitted for one encoder, read from JSON files in this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import resources

from core.types import JSONValue


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
    """The fits for the encoder `encoder`, one for each kind of evidence.

    `is_fallback` says that they were fitted for another encoder; `provenance` says on what, when and how good on held-out folds.
    """

    encoder: str
    fits: Mapping[Evidence, Fit]
    is_fallback: bool = False
    provenance: Mapping[str, JSONValue] = field(default_factory=dict)


def load_calibration(model_id: str) -> Calibration:
    """The calibration fitted for this encoder; for an encoder that none was fitted for, the conservative fallback."""
    calibrations = _packaged()
    return calibrations.get(_weights(model_id)) or fallback()


def fallback() -> Calibration:
    """For unknown encoders: words alone decide, since no two encoders spread their cosines alike."""
    fit = Fit(ranking={"cosine": 1.0, "bm25": 0.1}, confidence={"bm25": 8.0}, intercept=-5.0, threshold=0.5)
    return Calibration(encoder="", fits=dict.fromkeys(Evidence, fit), is_fallback=True)


def parse_calibration(content: str) -> Calibration:
    """A calibration from its JSON text. Raises ValueError or KeyError where it is not one."""
    row = json.loads(content)
    fits = {Evidence(name): Fit(**fit) for name, fit in row["fits"].items()}
    return Calibration(encoder=row["encoder"], fits=fits, provenance=row["provenance"])


@cache
def _packaged() -> dict[str, Calibration]:
    files = (file for file in resources.files("apps.faq").joinpath("calibrations").iterdir() if file.name.endswith(".json"))
    calibrations = (parse_calibration(file.read_text(encoding="utf-8")) for file in files)
    return {_weights(calibration.encoder): calibration for calibration in calibrations}


def _weights(model_id: str) -> str:
    return model_id.rpartition("@")[2]
