"""Which spans do labels make?"""

from __future__ import annotations

import pytest

from core.protocols import Span
from workers.bio import TaggedToken, spans_of

TEXT = "张三在北京 上海"


def spans(*labels: str) -> list[tuple[str, str]]:
    """Type and text of each span where each character of TEXT is a token."""
    found = spans_of(TEXT, [TaggedToken(place, place + 1, label, 0.5) for place, label in enumerate(labels)])
    return [(span.type, TEXT[span.start : span.end]) for span in found]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("B-PER", "I-PER", "O", "B-LOC", "I-LOC", "O", "O", "O"), [("PER", "张三"), ("LOC", "北京")]),
        (("B-PER", "B-PER", "O", "O", "O", "O", "O", "O"), [("PER", "张"), ("PER", "三")]),
        (("O", "O", "O", "I-LOC", "I-LOC", "O", "O", "O"), [("LOC", "北京")]),
        (("B-PER", "I-LOC", "O", "O", "O", "O", "O", "O"), [("PER", "张"), ("LOC", "三")]),
        (("B-PER", "E-PER", "O", "S-LOC", "S-LOC", "O", "O", "O"), [("PER", "张三"), ("LOC", "北"), ("LOC", "京")]),
        (("PER", "PER", "O", "LOC", "LOC", "O", "O", "O"), [("PER", "张三"), ("LOC", "北京")]),
        (("O", "O", "O", "O", "O", "B-LOC", "I-LOC", "I-LOC"), [("LOC", "上海")]),
        (("O", "O", "O", "O", "O", "B-LOC", "O", "O"), []),
        (("O",) * 8, []),
    ],
)
def test_labels_make_spans(labels: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    assert spans(*labels) == expected


def test_a_spans_score_is_the_mean_of_its_tokens() -> None:
    tokens = [TaggedToken(0, 1, "B-PER", 0.5), TaggedToken(1, 2, "I-PER", 1.0)]
    assert spans_of(TEXT, tokens) == [Span(0, 2, "PER", 0.75)]
