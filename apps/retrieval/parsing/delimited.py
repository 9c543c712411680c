"""What does a CSV or TSV file say? One table; the separator is found by trying."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.encodings import decode_text
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile

SEPARATORS = ",\t;|"
MAX_CELL_CHARS = 1_000_000


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """One table of all rows. Raises UnreadableFile for a quote that is never closed over a megabyte."""
    text, _ = decode_text(path.read_bytes())
    found = BlockCollector(limits)
    usual = csv.field_size_limit(MAX_CELL_CHARS)  # the whole process's, in which FAQs have one of their own
    try:
        found.table(csv.reader(_lines(text.replace("\x00", "")), delimiter=separator_of(text)))
    except csv.Error as error:
        raise UnreadableFile(Reason.DAMAGED, f"its rows cannot be told apart ({error})") from error
    finally:
        csv.field_size_limit(usual)
    return ParsedDocument(blocks=tuple(found.blocks), warnings=tuple(found.warnings))


def separator_of(text: str) -> str:
    """The separator that gives the first 50 lines the same number of cells, and the most of them."""
    lines = [line for line in islice(_lines(text[:100_000]), 50) if line.strip()]

    def fitness(separator: str) -> tuple[int, int]:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator))
        width, rows = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
        return (rows if width > 1 else 0, width)

    return max(SEPARATORS, key=fitness)


def _lines(text: str) -> Iterator[str]:
    """The lines with their ends, as programs that write tables end them: Unicode's other line ends, which `str.splitlines` knows, stand in cells."""
    return io.StringIO(text, newline="")
