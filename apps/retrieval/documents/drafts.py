"""What is a document that is to be saved? Its row, its text cut into passages, and what it was made from."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from apps.retrieval.documents.chunking import Chunk, ChunkedDocument
from apps.retrieval.documents.fingerprints import Fingerprint
from apps.retrieval.documents.likeness import plain_form
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.models import Document, Passage

ROW_FIELDS = ("title", "text", "url", "media_type", "language", "author", "category", "date", "status")
SPAN_FIELDS = ("start", "end", "page", "later_pages", "section_start", "section_end")


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A document to be saved: what is known of it, its text cut into passages, the keys that it is found by where another says
    the same (`text_digests`, `fingerprints_of`), and the hash of what it was made from.

    Of a document that is there already, the fields in `kept` stay as they are where the row has nothing to say. With `comes_back`
    the row's status is for a document that is still withdrawn: any other one keeps its own. `made_of` is the stored row that the
    draft was made of: what is as it was there is left as it is when the draft is saved, whoever changed it meanwhile.
    """

    row: DocumentRow
    chunked: ChunkedDocument
    digests: tuple[str, ...] = ()
    fingerprints: tuple[Fingerprint, ...] = ()
    source_sha256: str = ""
    kept: frozenset[str] = frozenset()
    comes_back: bool = False
    made_of: DocumentRow | None = None


def drafts_of(documents: Sequence[Document]) -> list[Draft]:
    """The stored documents as drafts, cut as they are: saving one as it is changes nothing."""
    passages: dict[int, list[Chunk]] = defaultdict(list)
    for passage in Passage.objects.filter(document__in=documents).order_by("document", "number"):
        passages[passage.document_id].append(
            Chunk(heading=passage.heading, text=passage.text, **{name: getattr(passage, name) for name in SPAN_FIELDS})
        )
    return [
        Draft(
            row=row_of(document),
            chunked=ChunkedDocument(document.text, tuple(passages[document.pk])),
            digests=(document.text_sha256,) if document.text_sha256 else (),
            fingerprints=stored_fingerprints(document),
            source_sha256=document.source_sha256,
            made_of=row_of(document),
        )
        for document in documents
    ]


def rebased(draft: Draft, document: Document) -> Draft:
    """The draft of a stored document as it would have been made of what is stored now."""
    was, row, now = draft.made_of, draft.row, row_of(document)
    if was is None or was == now:
        return draft
    left = {field.name: getattr(now, field.name) for field in fields(row) if getattr(row, field.name) == getattr(was, field.name)}
    if "text" in left and now.text != was.text:
        (draft,) = drafts_of([document])
    return replace(draft, row=replace(row, **left))


def row_of(document: Document, *, text: str | None = None) -> DocumentRow:
    """The document as a row; with another text, its own need not be read."""
    said: dict[str, Any] = {name: getattr(document, name) for name in ROW_FIELDS if name != "text"}
    said["text"] = document.text if text is None else text
    return DocumentRow(id=document.external_id, tags=tuple(document.tags), access=tuple(document.access), **said)


def stored_fingerprints(document: Document) -> tuple[Fingerprint, ...]:
    """What is stored of a document's fingerprints."""
    if document.simhash is None or document.band_0 is None:
        return ()
    return (Fingerprint.stored(document.simhash, document.band_0),)


def text_digests(text: str) -> tuple[str, str]:
    """The keys under which the same text is found: the one that is stored, and the one that was stored before case, width and points counted as none."""
    return (_digest(plain_form(text)), _digest(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
