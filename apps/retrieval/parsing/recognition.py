"""How are the scanned pages of a PDF read? A few at a time by reading processes, so that a page that does harm costs only itself.

Time by the clock and the number of pages are bounded for the whole file, memory and processor time for each few pages.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.readers import ask_reader
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile, listed_pages

# Address space that the models need; some 950 MiB of it are really used.
MEMORY_MB = 2_048
PAGES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class PagesDone:
    """How many of how many scanned pages are settled."""

    done: int
    of: int


@dataclass(slots=True)
class Recognised:
    """What came of the scanned `pages` of a file: lines (text, left, bottom, right, top) by page, failures by page, and whether time ended."""

    pages: Sequence[int]
    limits: ParseLimits
    lines: dict[int, list[list[Any]]] = field(default_factory=dict)
    failures: dict[int, UnreadableFile] = field(default_factory=dict)
    ended: bool = False

    @property
    def settled(self) -> int:
        return len(self.lines) + len(self.failures)


@cache
def can_recognise() -> bool:
    """Whether the `ocr` extra is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))


def recognise(path: Path, name: str, pages: Sequence[int], limits: ParseLimits) -> Generator[PagesDone, None, Recognised]:
    """The lines of these pages as far as the limits allow; yields after every few. A process that is lost costs the one page that did it."""
    found = Recognised(pages, limits)
    left, most, spent_s = list(pages[: limits.ocr_pages]), PAGES_AT_ONCE, 0.0
    within = dataclasses.replace(limits, memory_mb=max(limits.memory_mb, MEMORY_MB))
    yield PagesDone(0, len(left))
    while left and not found.ended:
        began = time.monotonic()
        try:
            lines = _ask_for(path, name, left[:most], within)
        except UnreadableFile as error:
            if most == 1:
                found.failures[left.pop(0)] = error
            most = 1  # one by one, to see which page it is
        else:
            found.lines.update(lines)
            left, most = left[len(lines) :], min(PAGES_AT_ONCE, most * 2)
        spent_s += time.monotonic() - began
        found.ended = bool(left) and spent_s > limits.ocr_s
        yield PagesDone(found.settled, found.settled + len(left))
    return found


def _ask_for(path: Path, name: str, pages: Sequence[int], limits: ParseLimits) -> dict[int, list[list[Any]]]:
    """The lines of the first of these pages, at least of one."""
    _, body = ask_reader({"do": "recognise", "path": str(path.resolve()), "pages": list(pages)}, name, limits)
    return {int(page): lines for page, lines in json.loads(body.decode("utf-8", "surrogatepass"))}


def without_recognition(document: ParsedDocument, name: str) -> ParsedDocument:
    """The document without its scanned pages, and a warning that says so. Raises UnreadableFile where it has no others."""
    if not document.blocks:
        raise UnreadableFile(Reason.SCANNED, "its pages are pictures without text, as scans are", name=name)
    return _warned(
        document, [f"Scanned pages were left out: {listed_pages(document.scanned)}. The `ocr` extra (`make install-ocr`) reads them."]
    )


def with_recognition(document: ParsedDocument, found: Recognised, name: str) -> ParsedDocument:
    """The document with warnings about the pages that stay unread. Raises UnreadableFile where nothing is left."""
    if not document.blocks:
        raise _nothing(found, name)
    return _warned(document, list(_shortfalls(document, found)))


def _nothing(found: Recognised, name: str) -> UnreadableFile:
    """Why a file without any other text cannot be used."""
    if found.ended and not found.lines:
        return UnreadableFile(
            Reason.TOO_SLOW, f"none of its scanned pages was recognised within {found.limits.ocr_s:g} s (QA_OCR_SECONDS)", name=name
        )
    if found.failures:
        return next(iter(found.failures.values())).named(name)
    return UnreadableFile(Reason.NO_TEXT, "no text was recognised on its scanned pages", name=name)


def _shortfalls(document: ParsedDocument, found: Recognised) -> Generator[str, None, None]:
    scanned, settled = len(found.pages), found.settled
    if found.ended:
        yield (
            f"Only {settled} of {scanned} scanned pages were recognised, within {found.limits.ocr_s:g} s: "
            "split the file, or raise QA_OCR_SECONDS and send it again."
        )
    elif settled < scanned:
        yield f"Only the first {settled} of {scanned} scanned pages were recognised: split the file, or raise QA_OCR_PAGES and send it again."
    if found.failures:
        yield f"Scanned pages that could not be recognised were left out: {listed_pages(list(found.failures))}."
    blank = [page for page in document.scanned if page in found.lines]
    if blank:
        yield f"No text was recognised on these pages, which are pictures: {listed_pages(blank)}."


def _warned(document: ParsedDocument, warnings: Sequence[str]) -> ParsedDocument:
    return dataclasses.replace(document, warnings=(*document.warnings, *warnings), scanned=())
