"""Which spans do the labels of tokens make? BIO and its relatives (IO, BIOES), read as transformers' `simple` aggregation reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.protocols import Span

_BEGINS = {"B", "S", "U"}
_CONTINUES = {"I", "E", "L", "M"}


@dataclass(frozen=True, slots=True)
class TaggedToken:
    """A token's place in its text (characters, end exclusive), its label and how likely that is (0..1)."""

    start: int
    end: int
    label: str
    score: float


def spans_of(text: str, tokens: Iterable[TaggedToken]) -> list[Span]:
    """The spans in order of their start; score is the mean of their tokens'. White space at their edges is left out."""
    spans = [_span(text, kind, group) for kind, group in _groups(tokens)]
    return [span for span in spans if span.start < span.end]


def _groups(tokens: Iterable[TaggedToken]) -> Iterator[tuple[str, list[TaggedToken]]]:
    """Neighbours of one type; "B-" begins anew even within its type."""
    kind, group = "", list[TaggedToken]()
    for token in tokens:
        begins, own = _read(token.label)
        if group and (own != kind or begins):
            yield kind, group
            group = []
        if own:
            kind, group = own, [*group, token]
    if group:
        yield kind, group


def _read(label: str) -> tuple[bool, str]:
    """Whether the label begins a span, and of which type; an empty type is none. A label without a prefix is a type."""
    if label == "O":
        return True, ""
    prefix, dash, kind = label.partition("-")
    if dash and prefix in _BEGINS | _CONTINUES:
        return prefix in _BEGINS, kind
    return False, label


def _span(text: str, kind: str, group: list[TaggedToken]) -> Span:
    start, end = group[0].start, group[-1].end
    inside = text[start:end]
    start, end = start + len(inside) - len(inside.lstrip()), end - (len(inside) - len(inside.rstrip()))
    return Span(start, end, kind, sum(token.score for token in group) / len(group))
