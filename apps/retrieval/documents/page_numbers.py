"""On which page of its source does a place in a passage stand? Pages that begin within a passage are noted as `130:2 250:3`."""

from __future__ import annotations

from collections.abc import Iterable


def note_pages(starts: Iterable[tuple[int, int | None]]) -> tuple[int | None, str]:
    """The first page, and where in the text further ones begin: of (offset, page) in order, both as a passage keeps them."""
    first: int | None = None
    at: int | None = None
    later: list[str] = []
    for offset, page in starts:
        if page is None or page == at:
            continue
        if at is None:
            first = page
        else:
            later.append(f"{offset}:{page}")
        at = page
    return first, " ".join(later)


def page_at(first: int | None, later: str, offset: int) -> int | None:
    """The page on which the character at `offset` stands; None where the source has no pages."""
    page = first
    for note in later.split():
        begins, _, number = note.partition(":")
        if int(begins) > offset:
            break
        page = int(number)
    return page
