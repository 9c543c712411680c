"""How is a stored document edited? What was typed becomes a draft that keeps whatever was not touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from apps.retrieval.documents.drafts import Draft, drafts_of, row_of
from apps.retrieval.documents.readings import draft_of, reading_of_row
from apps.retrieval.documents.rows import parse_document
from apps.retrieval.models import Document


def edited(stored: Document, given: Mapping[str, object]) -> Draft:
    """The draft of a document whose fields are these now. Raises InvalidRequest that names the field.

    Where the text stays, it is cut as it was: the blocks of a file are not in its text, and it may be longer than a row's.
    Where it changes, its source stays the same, so that ingesting that again does not undo the edit.
    """
    fields = {**given, "id": stored.external_id}
    if given.get("text") == stored.text:
        row = replace(parse_document({**fields, "text": "as it is"}), text=stored.text, media_type=stored.media_type)
        return replace(drafts_of([stored])[0], row=row)
    row = replace(parse_document(fields), media_type=stored.media_type)
    return replace(draft_of(reading_of_row(row, source_sha256=stored.source_sha256)), made_of=row_of(stored))
