"""An answer is as sure as it stands out."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from apps.retrieval.search.confidence import evidence, height_above, probability, reasons_of
from apps.retrieval.search.fusion import AnswerFit, Fusion, dump_fusion, parse_fusion
from apps.retrieval.search.hybrid import PassageHit
from apps.retrieval.search.stored_passages import StoredPassage

FILES = resources.files("apps.retrieval.search").joinpath("fusions")


def hit(near: float | None, cosine: float | None = 0.85) -> PassageHit:
    passage = StoredPassage(
        id=1, document_id=1, document="d", title="", heading="", text="It ends.", start=0, end=8, page=None, later_pages="", url="", language="", author="",
        category="", tags=(), date=None,
    )  # fmt: skip
    return PassageHit(passage=passage, score=1.0, cosine=cosine, bm25=0.0, near=near)


def packaged() -> list[Fusion]:
    return [parse_fusion(file.read_text(encoding="utf-8")) for file in FILES.iterdir() if file.name.endswith(".json")]


def test_a_height_is_measured_from_the_others_and_one_that_is_typical() -> None:
    assert height_above([0.9, 0.5, 0.4], 0.6) == pytest.approx(0.9 - 0.5)


def test_what_stands_alone_is_measured_from_what_is_typical() -> None:
    assert height_above([0.9], 0.6) == pytest.approx(0.3)


def test_nothing_has_no_height() -> None:
    assert height_above([], 0.6) == 0.0


def test_passages_without_token_vectors_are_left_out_of_the_comparison() -> None:
    found = evidence([hit(0.8), hit(None), hit(0.4)], [1.0], 0.5, {"near": 0.6, "sentence": 0.7})
    assert found["near_above"] == pytest.approx(0.3) and found["sentence_above"] == pytest.approx(0.3)


def test_more_than_ten_passages_and_six_sentences_change_nothing() -> None:
    typical = {"near": 0.5, "sentence": 0.5}
    few = evidence([hit(0.8)] + [hit(0.4)] * 9, [1.0] + [0.4] * 5, 0.5, typical)
    assert evidence([hit(0.8)] + [hit(0.4)] * 9 + [hit(0.1)], [1.0] + [0.4] * 5 + [0.1], 0.5, typical) == few


def test_reasons_and_intercept_make_the_confidence() -> None:
    fit = AnswerFit(met=1.0, words=0.5, lag=1.0, confidence={"near_above": 2.0}, intercept=-1.0, threshold=0.5)
    reasons = reasons_of({"near_above": 0.5, "sentence_words": 1.0}, fit)
    assert reasons == {"near_above": 1.0} and probability(reasons, fit) == pytest.approx(0.5)


FITS = [fit for fusion in packaged() for fit in (fusion.answers, fusion.across) if fit]


@pytest.mark.parametrize("fit", FITS, ids=range(len(FITS)))
def test_whatever_stands_out_more_is_surer(fit: AnswerFit) -> None:
    known = evidence([hit(0.8)], [1.0], 0.5, fit.typical)
    assert fit.confidence and set(fit.confidence) <= set(known) and all(value > 0 for value in fit.confidence.values())
    assert set(fit.typical) == {"near", "sentence"} and 0 < fit.threshold < 1


@pytest.mark.parametrize("fit", FITS, ids=range(len(FITS)))
def test_passages_that_meet_a_question_alike_are_no_answer(fit: AnswerFit) -> None:
    def confidence(others: float) -> float:
        found = evidence([hit(0.7), *[hit(others)] * 9], [0.7, *[others] * 5], 0.3, fit.typical)
        return probability(reasons_of(found, fit), fit)

    assert confidence(0.7) < fit.threshold < confidence(0.35)


def test_a_fit_is_read_back_as_it_was_written() -> None:
    assert all(parse_fusion(dump_fusion(fusion)) == fusion for fusion in packaged())


@pytest.mark.parametrize("locale", ["zh", "en"])
def test_the_questions_to_the_demo_documents_have_answers_that_stand_there(locale: str) -> None:
    root = Path(__file__).resolve().parents[4]
    text = " ".join(path.read_text(encoding="utf-8") for path in (root / "apps/dialogue/demo/documents").glob(f"*.{locale}.md"))
    rows = [
        json.loads(line) for line in (root / f"tests/quality/documents/questions.{locale}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [sum(bool(row["answers"]) is there for row in rows) for there in (True, False)] == [20, 20]
    assert all(answer in text for row in rows for answer in row["answers"])
