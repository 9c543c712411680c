"""Reads a file, or each file of an archive, the way an ingestion does: what became of each."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, UnreadableFile
from apps.retrieval.parsing.sandbox import UnpackedArchive, is_archive, parse_file


@dataclass(frozen=True, kw_only=True, slots=True)
class FileResult:
    """What became of one file: `document` or `error`."""

    name: str
    document: ParsedDocument | None = None
    error: UnreadableFile | None = None


def read_all(data: bytes, *, name: str, limits: ParseLimits | None = None) -> list[FileResult]:
    """One result for a file that is a document, one for each file of an archive. Names begin with those of the archives around."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        if not is_archive(path):
            return [_read(path, name, limits)]
        try:
            archive = UnpackedArchive(path, name=name, limits=limits)
        except UnreadableFile as error:
            return [FileResult(name=name, error=error)]
        return [
            _read(file.path, file.name, limits) if file.path else FileResult(name=file.name, error=file.error) for file in archive.files
        ]


def _read(path: Path, name: str, limits: ParseLimits | None) -> FileResult:
    try:
        return FileResult(name=name, document=parse_file(path, name=name, limits=limits))
    except UnreadableFile as error:
        return FileResult(name=name, error=error)
