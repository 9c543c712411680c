"""What does a PDF say? Its text by PDFium in lines and paragraphs, headings by outline and size, ruled tables by pdfplumber."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.page_lines import Line, Table, join_lines, page_lines, running_lines, starts_item
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile, listed_pages
from apps.retrieval.parsing.ruled_tables import ruled_tables
from apps.retrieval.parsing.stated import stated_date

# Tables cost about 50 times what text costs: they get this share of the processor time, then pages are read as plain lines.
TABLE_TIME_SHARE = 0.5
# A page with fewer drawn paths has no ruled table.
MIN_RULES = 4
HEADING_SIZE = 1.15
MAX_HEADING_CHARS = 100
MAX_HEADING_SIZES = 4
_SENTENCE_END = tuple("。；;，,：")


def parse(path: Path, limits: ParseLimits, recognised: Iterable[tuple[int, Sequence[Any]]] = ()) -> ParsedDocument:
    """The text of each page. Scanned pages have the lines (text, left, bottom, right, top) that were `recognised`, or are named as `scanned`."""
    document = _opened(path)
    found = BlockCollector(limits)
    pages = min(len(document), limits.max_pages)
    if len(document) > pages:
        found.warn(f"Only the first {pages} of {len(document)} pages were read.")
    drawn = {page: [Line(*line) for line in on_page] for page, on_page in recognised}
    lines, scanned = _all_lines(document, pages, found, drawn)
    tables = _all_tables(path, document, pages, limits, found)
    outline = _outline(document)
    _add_pages(found, lines, tables, outline, frozenset(drawn))
    if not found.blocks and not scanned:
        raise UnreadableFile(Reason.NO_TEXT, "its pages hold no text")
    facts = document.get_metadata_dict(skip_empty=True)
    return ParsedDocument(
        blocks=tuple(found.blocks),
        title=facts.get("Title", ""),
        author=facts.get("Author", ""),
        date=stated_date(facts.get("CreationDate", "")),
        warnings=tuple(found.warnings),
        scanned=tuple(scanned),
    )


def _opened(path: Path) -> pypdfium2.PdfDocument:
    try:
        document = pypdfium2.PdfDocument(path)
        pages = len(document)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise UnreadableFile(Reason.ENCRYPTED, "it is a PDF with a password") from error
        raise UnreadableFile(Reason.DAMAGED, "its PDF structure is damaged or cut short") from error
    if pages == 0:
        raise UnreadableFile(Reason.DAMAGED, "it has no page that can be found")
    return document


def _all_lines(
    document: pypdfium2.PdfDocument, pages: int, found: BlockCollector, recognised: Mapping[int, list[Line]]
) -> tuple[dict[int, list[Line]], list[int]]:
    """The lines of each page by its number from 1, and the pages that are pictures; pages that cannot be read are named in a warning."""
    lines: dict[int, list[Line]] = {}
    broken: list[int] = []
    scanned: list[int] = []
    for number in range(1, pages + 1):
        try:
            page = document[number - 1]
            lines[number] = page_lines(page) or recognised.get(number, [])
            if not lines[number] and _has_picture(page):
                scanned.append(number)
            page.close()
        except pypdfium2.PdfiumError:
            broken.append(number)
    if broken:
        found.warn(f"Damaged pages were left out: {listed_pages(broken)}.")
    return lines, scanned


def _has_picture(page: pypdfium2.PdfPage) -> bool:
    return next(iter(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3)), None) is not None


def _all_tables(
    path: Path, document: pypdfium2.PdfDocument, pages: int, limits: ParseLimits, found: BlockCollector
) -> dict[int, list[Table]]:
    """The ruled tables of the pages that have rules, as long as time lasts."""
    ruled = [number for number in range(1, pages + 1) if _rules(document, number) >= MIN_RULES]
    until = limits.cpu_s * TABLE_TIME_SHARE
    tables: dict[int, list[Table]] = {}
    for number, on_page in ruled_tables(path, ruled):
        tables[number] = on_page
        if time.process_time() > until and number != ruled[-1]:
            found.warn(f"Tables after page {number} were read as plain lines, to save time.")
            break
    return tables


def _rules(document: pypdfium2.PdfDocument, number: int) -> int:
    """How many paths a page draws, up to `MIN_RULES`."""
    try:
        page = document[number - 1]
        paths = page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_PATH], max_depth=3)
        count = sum(1 for _ in zip(range(MIN_RULES), paths, strict=False))
        page.close()
    except pypdfium2.PdfiumError:
        return 0
    return count


def _outline(document: pypdfium2.PdfDocument) -> dict[str, int]:
    """The titles of the outline, without blanks, and their levels from 1."""
    levels: dict[str, int] = {}
    try:
        for number, mark in enumerate(document.get_toc(max_depth=6)):
            if number >= 20_000:
                break
            levels.setdefault(_squeezed(mark.get_title()), mark.level + 1)
    except (pypdfium2.PdfiumError, ValueError):
        return levels
    levels.pop("", None)
    return levels


def _squeezed(text: str) -> str:
    return "".join(text.split()).lower()


def _add_pages(
    found: BlockCollector, lines: dict[int, list[Line]], tables: dict[int, list[Table]], outline: dict[str, int], drawn: frozenset[int]
) -> None:
    """All pages. The sizes of `drawn` ones, which were recognised, compare with no other page's: two scans of one book differ."""
    running = running_lines(list(lines.values()))
    if all(line.shape in running for on_page in lines.values() for line in on_page):
        running = set()  # every page is the same: that is no frame
    printed_sizes = _heading_sizes([line for number, on_page in lines.items() if number not in drawn for line in on_page])
    for number, on_page in lines.items():
        sizes = _heading_sizes(on_page) if number in drawn else printed_sizes
        kept = [line for line in on_page if line.shape not in running]
        for part in _in_order(kept, tables.get(number, [])):
            if isinstance(part, Table):
                found.table(part.rows, number)
            else:
                _add_lines(found, part, number, outline, sizes)


def _in_order(lines: Sequence[Line], tables: Sequence[Table]) -> Iterator[Table | list[Line]]:
    """The lines outside tables, and each table where its first line stood."""
    run: list[Line] = []
    done: set[int] = set()
    for line in lines:
        at = next((n for n, table in enumerate(tables) if table.holds(line)), None)
        if at is None:
            run.append(line)
        elif at not in done:
            yield run
            run = []
            done.add(at)
            yield tables[at]
    yield run


def _heading_sizes(lines: Sequence[Line]) -> list[float]:
    """The sizes clearly above that of most characters, largest first: their places are the levels of headings."""
    weights: Counter[float] = Counter()
    for line in lines:
        weights[round(line.size)] += len(line.text)
    if not weights:
        return []
    body = weights.most_common(1)[0][0]
    return sorted((size for size in weights if size >= body * HEADING_SIZE), reverse=True)[:MAX_HEADING_SIZES]


def _add_lines(found: BlockCollector, lines: Sequence[Line], page: int, outline: dict[str, int], sizes: list[float]) -> None:
    run: list[Line] = []
    for line in lines:
        level = _level(line, outline, sizes)
        if level:
            _add_run(found, run, page)
            run = []
            found.heading(line.text, level, page)
        else:
            run.append(line)
    _add_run(found, run, page)


def _level(line: Line, outline: dict[str, int], sizes: list[float]) -> int:
    listed = outline.get(_squeezed(line.text), 0)
    if listed:
        return listed
    short = 1 < len(line.text) <= MAX_HEADING_CHARS and not line.text.endswith(_SENTENCE_END)
    return sizes.index(round(line.size)) + 1 if short and round(line.size) in sizes and any(map(str.isalpha, line.text)) else 0


def _add_run(found: BlockCollector, run: Sequence[Line], page: int) -> None:
    for text in join_lines(run):
        if starts_item(text):
            found.item(text, page)
        else:
            found.paragraph(text, page)
