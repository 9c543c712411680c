"""How much of its section is a passage given to a generator with? Whole sentences around it, best passage first, within a budget.

Small passages are found best, and larger ones are answered from best ("small to big"). Passages that come to touch become one
source, so that nothing is said twice; every source is one stretch of its document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from apps.retrieval.grounding.orders import follows_order, without_orders
from apps.retrieval.grounding.prompt import PromptSource, quoted
from apps.retrieval.grounding.sections import Surroundings
from core.sentences import is_heading, sentence_spans
from core.tokens import estimate_tokens


@dataclass(slots=True, eq=False)
class _Stretch:
    """A source on its way: the document's text from `start` to `end`, within its surroundings."""

    source: PromptSource
    near: Surroundings
    start: int
    end: int

    @property
    def document(self) -> int:
        return self.source.hit.passage.document_id


def with_context(sources: Sequence[PromptSource], around: Mapping[int, Surroundings], *, max_tokens: int) -> tuple[PromptSource, ...]:
    """The sources with sentences of their sections around them, up to `max_tokens` more in all; those of one section that touch as one.

    Numbered anew in their order. A source whose surroundings are not known stays as it is.
    """
    stretches = [_stretch(source, around.get(source.hit.passage.id)) for source in sources]
    _join(stretches)
    left = max_tokens
    for stretch in stretches:
        left = _grow(stretch, [other for other in stretches if other is not stretch], left)
    _join(stretches)
    return tuple(_source(stretch, number) for number, stretch in enumerate(stretches, 1))


def _stretch(source: PromptSource, near: Surroundings | None) -> _Stretch:
    if near is None or not near.holds(source.said, at=source.start):  # its document was changed since the search
        near = Surroundings(start=source.start, end=source.end, text=source.said)
    return _Stretch(source, near, source.start, source.end)


def _grow(stretch: _Stretch, others: Sequence[_Stretch], left: int) -> int:
    """Adds sentences behind and before in turn, until the budget, the section, a heading or an order ends it; the tokens that are left."""
    behind, before = _behind(stretch, others), _before(stretch, others)
    sides = [behind, before]
    while sides:
        side = sides.pop(0)
        found = next(side, None)
        cost = estimate_tokens(stretch.near.between(*found)) if found else 0
        if found is None or cost > left:
            continue
        stretch.start, stretch.end, left = min(stretch.start, found[0]), max(stretch.end, found[1]), left - cost
        sides.append(side)
    return left


def _behind(stretch: _Stretch, others: Sequence[_Stretch]) -> Iterator[tuple[int, int]]:
    """The sentences that follow, as offsets in the document."""
    end = stretch.end
    limit = min((other.start for other in others if other.document == stretch.document and other.start >= end), default=stretch.near.end)
    for start, stop in _sentences(stretch.near):
        if stop > end:
            if start >= limit or not _may_follow(stretch.near, start, stop):
                return
            yield max(start, end), min(stop, limit)


def _before(stretch: _Stretch, others: Sequence[_Stretch]) -> Iterator[tuple[int, int]]:
    """The sentences that come before, the nearest first."""
    begin = stretch.start
    limit = max((other.end for other in others if other.document == stretch.document and other.end <= begin), default=stretch.near.start)
    for start, stop in reversed(_sentences(stretch.near)):
        if start < begin:
            if stop <= limit or not _may_follow(stretch.near, start, stop):
                return
            yield max(start, limit), min(stop, begin)


def _sentences(near: Surroundings) -> list[tuple[int, int]]:
    """The whole sentences of the surroundings: what they cut off at their ends is none."""
    spans = [(near.start + start, near.start + end) for start, end in sentence_spans(near.text)]
    return spans[near.cut_before : len(spans) - near.cut_after]


def _may_follow(near: Surroundings, start: int, end: int) -> bool:
    """Whether this is a sentence of the section's own: a heading is told already, and beyond an order nothing is taken."""
    span = start - near.start, end - near.start
    return not is_heading(near.text, *span) and not follows_order(near.text, *span)


def _join(stretches: list[_Stretch]) -> None:
    """Makes one of those that only blanks part, in the place of the better one."""
    for first in sorted(stretches, key=lambda one: (one.document, -one.start)):
        following = next((other for other in stretches if other is not first and _touch(first, other)), None)
        if following is None:
            continue
        better, worse = sorted((first, following), key=stretches.index)
        near = first.near.joined(following.near, at=following.start)
        better.near, better.start, better.end = near, first.start, following.end
        stretches.remove(worse)


def _touch(first: _Stretch, other: _Stretch) -> bool:
    """Whether the other follows in the same section with nothing between."""
    if first.document != other.document or not first.end <= other.start <= first.near.end:
        return False
    return not first.near.between(first.end, other.start).strip()


def _source(stretch: _Stretch, number: int) -> PromptSource:
    said = stretch.near.between(stretch.start, stretch.end)
    page = stretch.source.page if stretch.start == stretch.source.start else stretch.near.page_at(stretch.start)
    text = quoted(without_orders(said))
    return replace(stretch.source, number=number, text=text, said=said, start=stretch.start, end=stretch.end, page=page)
