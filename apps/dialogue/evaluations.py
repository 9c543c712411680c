"""How did a knowledge base score before, and is it better now? Stored runs of `evaluate`, and two of them compared."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from django.db.models import QuerySet

from apps.dialogue.models import EvaluationRun
from apps.retrieval.models import KnowledgeBase
from core.errors import InvalidRequest
from core.significance import paired_p_value
from core.types import JSONDict, JSONValue

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A run against an earlier one over the same questions: how each metric moved, and whether `compared_by` moved by more than chance.

    `p_value` is None where a run kept no score for each question.
    """

    before: EvaluationRun
    moved: dict[str, float]
    compared_by: str
    p_value: float | None

    def __str__(self) -> str:
        name = self.compared_by or next(iter(self.moved), "")
        if not name:
            return f"run {self.before.pk} measured something else"
        said = f"{name} {self.moved.get(name, 0.0):+.4f} against run {self.before.pk} of {self.before.created_at:%Y-%m-%d %H:%M}"
        if self.p_value is None:
            return said
        return f"{said}, p = {self.p_value:.3f}: {'a real difference' if self.p_value < SIGNIFICANT else 'may be chance'}"


def digest_of(path: Path) -> str:
    """What tells whether two runs asked the same questions."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store_run(
    kb: KnowledgeBase, report: JSONDict, *, data_name: str, data_sha256: str, encoder: str, misses: list[JSONValue] | None = None
) -> EvaluationRun:
    """Keeps what a report says, with each question's score where it has them."""
    return EvaluationRun.objects.create(
        kb=kb,
        task=report["task"],
        data_name=data_name[:200],
        data_sha256=data_sha256,
        encoder=encoder,
        rows=report["rows"],
        metrics=report["metrics"],
        parts=report["parts"],
        intervals=report.get("intervals", {}),
        compared_by=report.get("compared_by", ""),
        questions=report.get("questions", []),
        misses=misses or [],
        seconds=report["seconds"],
    )


def compare_with_previous(run: EvaluationRun) -> Comparison | None:
    """The run against the one before it on the same questions to the same base; None where there was none."""
    before = same_questions(run).filter(pk__lt=run.pk).first()
    return None if before is None else compare(run, before)


def same_questions(run: EvaluationRun) -> QuerySet[EvaluationRun]:
    """All runs over the questions of this one, newest first."""
    return EvaluationRun.objects.filter(kb=run.kb_id, task=run.task, data_sha256=run.data_sha256).order_by("-pk")


def compare(run: EvaluationRun, before: EvaluationRun) -> Comparison:
    """A run against another over the same questions."""
    paired = run.questions and len(run.questions) == len(before.questions) and run.compared_by == before.compared_by
    return Comparison(
        before=before,
        moved={name: value - before.metrics[name] for name, value in run.metrics.items() if name in before.metrics},
        compared_by=run.compared_by,
        p_value=paired_p_value(run.questions, before.questions) if paired else None,
    )


def parse_bounds(texts: list[str], metrics: Collection[str]) -> dict[str, float]:
    """The bounds that `--at-least metric=value` sets on some of the `metrics`. Raises InvalidRequest."""
    bounds = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            bounds[name] = float(value)
        except ValueError as error:
            raise _no_bound(text, metrics) from error
        if not math.isfinite(bounds[name]):
            raise _no_bound(text, metrics)
    if unknown := sorted(bounds.keys() - set(metrics)):
        raise InvalidRequest(f"No metric {', '.join(unknown)}; there are {', '.join(metrics)}.")
    return bounds


def _no_bound(text: str, metrics: Collection[str]) -> InvalidRequest:
    return InvalidRequest(f"--at-least takes metric=value, such as {next(iter(metrics))}=0.85; not {text!r}.")


def missed_bounds(metrics: JSONDict, bounds: dict[str, float]) -> list[str]:
    """A sentence for each metric below its bound."""
    return [f"{name} is {metrics[name]:.4f}, wanted at least {bound}" for name, bound in bounds.items() if metrics[name] < bound]  # type: ignore[operator]
