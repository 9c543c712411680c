"""What did reading a source give? The facts and blocks of one document, before anything is judged, cleaned or cut."""

from __future__ import annotations

from dataclasses import dataclass

from apps.retrieval.documents.chunking import chunk_document
from apps.retrieval.documents.drafts import Draft, text_digests
from apps.retrieval.documents.fingerprints import fingerprints_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.text_blocks import blocks_of_text
from apps.retrieval.parsing.parsed import Block


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One document as it was read. `warnings` are sentences about what could not be read of it; `kept` as in `Draft`."""

    row: DocumentRow
    blocks: tuple[Block, ...]
    source_sha256: str = ""
    kept: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All words of it, a block after the other."""
        return "\n".join(block.text for block in self.blocks)


def reading_of_row(row: DocumentRow, *, source_sha256: str = "", kept: frozenset[str] = frozenset()) -> Reading:
    """The reading of a row, whose text is plain."""
    return Reading(row=row, blocks=blocks_of_text(row.text), source_sha256=source_sha256, kept=kept)


def draft_of(reading: Reading) -> Draft:
    """The reading cut into passages."""
    chunked = chunk_document(reading.blocks, title=reading.row.title)
    return Draft(
        row=reading.row,
        chunked=chunked,
        digests=text_digests(chunked.text),
        fingerprints=fingerprints_of(chunked.text),
        source_sha256=reading.source_sha256,
        kept=reading.kept,
    )
