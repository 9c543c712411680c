"""What does a PPTX file say? Each slide is a page: its title, texts, tables and notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pptx
from pptx.enum.shapes import MSO_SHAPE_TYPE

from apps.retrieval.parsing.collecting import BlockCollector
from apps.retrieval.parsing.office import checked_properties, office_document
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits

MAX_GROUP_DEPTH = 8


def parse(path: Path, limits: ParseLimits) -> ParsedDocument:
    """The slides in order; a shape's place on the slide (top, then left) is its place in the text. Pictures say nothing."""
    properties = checked_properties(path, limits)
    found = BlockCollector(limits)
    for page, slide in enumerate(pptx.Presentation(str(path)).slides, 1):
        if page > limits.max_pages:
            found.warn(f"Only the first {limits.max_pages} slides were read.")
            break
        _add_slide(found, slide, page)
    return office_document(found, properties)


def _add_slide(found: BlockCollector, slide: Any, page: int) -> None:
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        found.heading(title.text_frame.text, 2, page)
    for shape in sorted(_flat(slide.shapes, 1), key=lambda shape: (shape.top or 0, shape.left or 0)):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if getattr(shape, "has_table", False):
            found.table(([cell.text for cell in row.cells] for row in shape.table.rows), page)
        elif shape.has_text_frame:
            _add_frame(found, shape.text_frame, page)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        found.paragraph(slide.notes_slide.notes_text_frame.text, page)


def _flat(shapes: Iterable[Any], depth: int) -> Iterator[Any]:
    """The shapes with those of groups in place of the groups."""
    for shape in shapes:
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            if depth < MAX_GROUP_DEPTH:
                yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape


def _add_frame(found: BlockCollector, frame: Any, page: int) -> None:
    """One paragraph is a paragraph; several are a list, as bullets are."""
    texts = [paragraph.text.replace("\v", " ") for paragraph in frame.paragraphs if paragraph.text.strip()]
    if len(texts) == 1:
        found.paragraph(texts[0], page)
    elif texts:
        found.items(texts, page)
