"""Which lines does a PDF page hold, and which of them are one paragraph? By the places and sizes of characters."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

MAX_CHARS_A_PAGE = 200_000
# A gap above this many line heights, a change of size beyond this share, an end this many characters before the edge: a new paragraph.
# The end may be farther where the next line begins with a word that had no room.
GAP, SIZE_CHANGE, SHORT = 1.8, 0.15, 2.5
# Boxes of one recognised line are at most this many line heights apart; columns are farther.
BLANK = 1.0
# A line that comes back at the edge of this share of the pages belongs to the frame.
RUNNING_SHARE = 0.5
EDGE_LINES = 2
_ITEM = re.compile(r"^(?:[•●▪■◆‣∙·➢✓◦*-]\s+|\(?\d{1,2}[.)]\s+|[a-z][.)]\s+|[（(][一二三四五六七八九十\d]{1,3}[）)])")
_WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(r"^(?:page|p\.|第)?\s*[-–—]?\s*(\d{1,4})\s*[-–—]?\s*[页頁]?(?:\s*(?:/|of|共)\s*\d{1,4}\s*[页頁]?)?$", re.I)
_FIRST_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text: its corners in points from the bottom left, its size the height that its font reserves."""

    text: str
    left: float
    bottom: float
    right: float
    top: float

    @property
    def size(self) -> float:
        return max(1.0, self.top - self.bottom)

    @property
    def shape(self) -> str:
        """The text with its numbers alike, as running heads compare."""
        return _DIGITS.sub("#", self.text)


@dataclass(frozen=True, slots=True)
class Table:
    """A table and its corners, in points from the bottom left."""

    rows: list[list[str]]
    left: float
    bottom: float
    right: float
    top: float

    def holds(self, line: Line) -> bool:
        """Whether the line's centre lies within."""
        x, y = (line.left + line.right) / 2, (line.bottom + line.top) / 2
        return self.left <= x <= self.right and self.bottom <= y <= self.top


def page_lines(page: pypdfium2.PdfPage) -> list[Line]:
    """The lines in the order of the page's content. PDFium marks where lines end; U+0002 is a hyphen that a line end needs."""
    text = page.get_textpage()
    lines: list[Line] = []
    begun: list[int] = []
    for index in range(min(text.count_chars(), MAX_CHARS_A_PAGE)):
        code = pdfium.FPDFText_GetUnicode(text, index)
        if code in (0x0A, 0x0D):
            _end_line(text, begun, lines)
        elif code:
            begun.append(index)
    _end_line(text, begun, lines)
    text.close()
    return lines


def _end_line(text: pypdfium2.PdfTextPage, indexes: list[int], lines: list[Line]) -> None:
    codes = [(pdfium.FPDFText_GetUnicode(text, index), index) for index in indexes]
    indexes.clear()
    units = "".join(chr(code) for code, _ in codes if code < 0x110000)
    said = units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # PDFium gives 𠮷 as two, as UTF-16 does
    visible = [index for code, index in codes if code > 0x20]
    if not said.strip() or not visible:
        return
    boxes = [_box(text, index) for index in {visible[0], visible[len(visible) // 2], visible[-1]}]
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    lines.append(Line(said.strip(), min(lefts), min(bottoms), max(rights), max(tops)))


def _box(text: pypdfium2.PdfTextPage, index: int) -> tuple[float, float, float, float]:
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(text, index, ctypes.byref(box))
    return box.left, box.bottom, box.right, box.top


def running_lines(pages: Sequence[Sequence[Line]]) -> set[str]:
    """The shapes of lines at the edges of half the pages or more, three at least: heads, feet and page numbers. Of two pages the numbers alone."""
    edges = [_edge_lines(lines) for lines in pages]
    if len(edges) == 2:
        return {one.shape for one in edges[0] for other in edges[1] if _counts_pages(one, other)}
    counts = Counter(shape for lines in edges for shape in {line.shape for line in lines})
    return {shape for shape, count in counts.items() if count >= max(3, RUNNING_SHARE * len(pages))}


def _edge_lines(lines: Sequence[Line]) -> list[Line]:
    by_height = sorted(lines, key=lambda line: line.top)
    return [*by_height[:EDGE_LINES], *by_height[-EDGE_LINES:]]


def _counts_pages(one: Line, other: Line) -> bool:
    """Whether these are the numbers of a page and of the next one, and nothing else."""
    first, second = (_PAGE_NUMBER.match(line.text) for line in (one, other))
    return first is not None and second is not None and one.shape == other.shape and int(second[1]) == int(first[1]) + 1


def starts_item(text: str) -> bool:
    """Whether a paragraph begins as items of lists do."""
    return bool(_ITEM.match(text))


def join_boxes(boxes: Sequence[Line]) -> list[Line]:
    """Recognised boxes as lines: those beside each other, no more than a wide blank apart, are one. In the order of their tops, then from the left."""
    lines: list[Line] = []
    for box in sorted(boxes, key=lambda one: one.left):
        place = next((number for number, line in enumerate(lines) if _goes_on_with(line, box)), None)
        if place is None:
            lines.append(box)
        else:
            line = lines[place]
            lower, upper = min(line.bottom, box.bottom), max(line.top, box.top)
            lines[place] = Line(_joined(line.text, box.text), line.left, lower, box.right, upper)
    return sorted(lines, key=lambda line: (-line.top, line.left))


def _goes_on_with(line: Line, box: Line) -> bool:
    shared = min(line.top, box.top) - max(line.bottom, box.bottom)
    size = min(line.size, box.size)
    return shared > size / 2 and -size / 2 < box.left - line.right <= BLANK * size


def join_lines(lines: Sequence[Line]) -> list[str]:
    """The paragraphs that the lines make."""
    paragraphs: list[str] = []
    for number, line in enumerate(lines):
        if number and _continues(lines[number - 1], line, lines):
            paragraphs[-1] = _joined(paragraphs[-1], line.text)
        else:
            paragraphs.append(line.text)
    return [paragraph.replace("\x02", "-") for paragraph in paragraphs]


def _continues(previous: Line, line: Line, lines: Sequence[Line]) -> bool:
    if starts_item(line.text) or abs(previous.size - line.size) > SIZE_CHANGE * previous.size:
        return False
    step = previous.bottom - line.bottom
    if not 0 < step <= GAP * previous.size:
        # Upwards: the paragraph may go on in the next column or not; without an end of sentence it does.
        return step <= 0 and not previous.text.endswith(tuple("。！？.!?"))
    edge = max(other.right for other in lines if other.left < previous.right and other.right > previous.left)
    return edge - previous.right <= max(SHORT * previous.size, _first_word_width(line))


def _first_word_width(line: Line) -> float:
    """About how wide the word is that begins the line, with the blank before it, in points; of Chinese a character."""
    word = _FIRST_WORD.match(line.text)
    return (line.right - line.left) * (len(word[0]) + 1 if word else 0) / len(line.text)


def _joined(before: str, after: str) -> str:
    if before.endswith("\x02"):
        return before[:-1] + after
    return before + ("" if _WIDE.match(before[-1]) or _WIDE.match(after[0]) else " ") + after
