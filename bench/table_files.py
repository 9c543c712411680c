"""How does a document with tables look as a file of each format? Written from its parts: headings, texts, lists and rows of cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import docx
import openpyxl

from tests.sample_files import pdf

Part = Mapping[str, Any]
COLUMN_POINTS, LINE_POINTS, CELL_POINTS = 105, 24, 7


def write_document(document: Mapping[str, Any], folder: Path, *, format: str) -> Path:
    """The file, named by the document's id."""
    path = folder / f"{document['id']}.{format}"
    path.write_bytes(_WRITERS[format](document["title"], document["parts"]))
    return path


def _markdown(title: str, parts: Sequence[Part]) -> bytes:
    blocks = [f"# {title}"]
    for part in parts:
        if "rows" in part:
            head, *rows = part["rows"]
            blocks.append("\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]))
        else:
            blocks.append(f"## {part['heading']}" if "heading" in part else _plain(part, "- "))
    return "\n\n".join(blocks).encode()


def _text(title: str, parts: Sequence[Part]) -> bytes:
    """As `_markdown`, but that nothing reads its structure."""
    return _markdown(title, parts).removeprefix(b"# ")


def _plain(part: Part, before_item: str) -> str:
    return str(part.get("text") or part.get("heading") or "\n".join(f"{before_item}{item}" for item in part["items"]))


def _html(title: str, parts: Sequence[Part]) -> bytes:
    """Cells of the first column that say the same one below the other are one cell over several rows."""
    body = [f"<h1>{escape(title)}</h1>"]
    for part in parts:
        if "rows" in part:
            body.append(f"<table>{''.join(_html_rows(part['rows']))}</table>")
        elif "items" in part:
            body.append(f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in part['items'])}</ul>")
        else:
            tag = "h2" if "heading" in part else "p"
            body.append(f"<{tag}>{escape(_plain(part, ''))}</{tag}>")
    return f"<html><head><title>{escape(title)}</title></head><body>{''.join(body)}</body></html>".encode()


def _html_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    written = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        same = list(group)
        for place, row in enumerate(same):
            cells = [f"<td>{escape(cell)}</td>" for cell in row]
            if len(same) > 1:
                cells = [f'<td rowspan="{len(same)}">{escape(row[0])}</td>' if place == 0 else "", *cells[1:]]
            written.append(f"<tr>{''.join(cells)}</tr>")
    return written


def _word(title: str, parts: Sequence[Part]) -> bytes:
    file = docx.Document()
    file.add_heading(title, 1)
    for part in parts:
        if "rows" in part:
            rows = part["rows"]
            table = file.add_table(rows=len(rows), cols=max(map(len, rows)))
            for place, row in enumerate(rows):
                for column, cell in enumerate(row):
                    table.cell(place, column).text = cell
        elif "heading" in part:
            file.add_heading(part["heading"], 2)
        else:
            style = "List Bullet" if "items" in part else None
            for line in part.get("items") or [part["text"]]:
                file.add_paragraph(line, style=style)
    return _saved(file)


def _sheets(title: str, parts: Sequence[Part]) -> bytes:
    """A sheet for each table, named by the heading before it."""
    book = openpyxl.Workbook()
    book.properties.title = title
    book.remove(book.active)
    name = title
    for part in parts:
        name = part.get("heading", name)
        if "rows" in part:
            sheet = book.create_sheet(name[:31].replace(":", ""))
            for row in part["rows"]:
                sheet.append([cell or None for cell in row])
    return _saved(book)


def _saved(file: Any) -> bytes:
    out = io.BytesIO()
    file.save(out)
    return out.getvalue()


def _csv(title: str, parts: Sequence[Part]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(row for part in parts if "rows" in part for row in part["rows"])
    return out.getvalue().encode()


def _pdf(title: str, parts: Sequence[Part]) -> bytes:
    """One page; the cells are drawn as boxes."""
    drawn, y = [_drawn(title, 50, 800, size=18)], 760
    for part in parts:
        for row in part.get("rows", ()):
            for column, cell in enumerate(row):
                x = 40 + COLUMN_POINTS * column
                drawn += [f"{x} {y} {COLUMN_POINTS} {LINE_POINTS} re S", _drawn(cell, x + 5, y + 8, size=CELL_POINTS)]
            y -= LINE_POINTS
        for line in [] if "rows" in part else _plain(part, "- ").split("\n"):
            drawn.append(_drawn(line, 50, y, size=15 if "heading" in part else 9))
            y -= LINE_POINTS
        y -= LINE_POINTS
    content = "\n".join(drawn).encode()
    whole = pdf([["x"]])
    begin, end = whole.index(b"<< /Length"), whole.index(b"endstream")
    return whole[:begin] + b"<< /Length %d >>\nstream\n%s\n" % (len(content), content) + whole[end:]


def _drawn(text: str, x: int, y: int, *, size: int) -> str:
    return f"BT /F1 {size} Tf {x} {y} Td <{text.encode('utf-16-be').hex()}> Tj ET"


_WRITERS = {"md": _markdown, "txt": _text, "html": _html, "docx": _word, "xlsx": _sheets, "csv": _csv, "pdf": _pdf}
