"""What documents lie in files, folders and archives? A jsonl file holds one a row, any other file is one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import orjson

from apps.retrieval.documents.incoming import BadSource, Source
from apps.retrieval.documents.readings import Reading, reading_of_row
from apps.retrieval.documents.rows import MAX_ID_CHARS, MAX_TEXT_CHARS, READABLE, DocumentRow, document_id, parse_document
from apps.retrieval.parsing.formats import Format, format_of_suffix
from apps.retrieval.parsing.recognition import PagesDone, can_recognise
from apps.retrieval.parsing.refusal import UnreadableFile
from apps.retrieval.parsing.sandbox import UnpackedArchive, is_archive, last_of, parse_in_steps
from apps.retrieval.rows.raw_rows import Found, RawRow, read_jsonl, unusable
from core.config import get_settings
from core.errors import InvalidRequest
from core.text import clean_text

PROCESSING = "2"  # part of every hash: another number makes the next run read everything anew
ROW_FILES = {".jsonl", ".ndjson"}
MAX_TITLE_CHARS, MAX_AUTHOR_CHARS = 500, 200
KEPT_BY_ROWS = frozenset({"status"})
KEPT_BY_FILES = frozenset({"status", "url", "language", "author", "category", "tags", "access", "date"})


def files_below(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """(file, its name as an id) of every file, and of all files in every folder, in order. What begins with a dot is passed over.

    Raises InvalidRequest where a path leads nowhere. Links are not followed out of a folder.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_file():
            found.append((path, path.name))
        elif path.is_dir():
            root = path.resolve()
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                inside = [Path(folder) / name for name in sorted(names) if not name.startswith(".")]
                found += [(file, f"{root.name}/{file.relative_to(root)}") for file in inside if file.is_file() and not file.is_symlink()]
        else:
            raise unusable(f"{path} is neither a file nor a folder")
    return found


def sources_in(files: Iterable[tuple[Path, str]], *, grown: Callable[[int], None] = lambda size: None) -> Iterator[Source | BadSource]:
    """The documents in these files, in order, with constant memory. Of an archive each file is looked at, as in a folder.

    `grown` is told by how many bytes an archive is larger once it is unpacked, so that progress can be shown.
    """
    for path, name in files:
        try:
            if is_archive(path):
                yield from _archive_sources(path, name, grown)
            else:
                yield from _sources(path, name)
        except (OSError, InvalidRequest) as error:
            yield _bad(name, error)


def _archive_sources(path: Path, name: str, grown: Callable[[int], None]) -> Iterator[Source | BadSource]:
    archive = UnpackedArchive(path, name=name)
    grown(sum(file.path.stat().st_size for file in archive.files if file.path) - path.stat().st_size)
    for file in archive.files:
        try:
            if file.path is None:
                raise file.error or unusable("it is missing")
            yield from _sources(file.path, file.name, archive)
        except (OSError, InvalidRequest) as error:
            yield _bad(file.name, error)


def _sources(path: Path, name: str, archive: UnpackedArchive | None = None) -> Iterator[Source | BadSource]:
    if PurePosixPath(name).suffix.lower() in ROW_FILES:
        yield from _row_sources(path, name)
    else:
        yield _file_source(path, name, archive)


def _bad(name: str, error: OSError | InvalidRequest) -> BadSource:
    if isinstance(error, InvalidRequest):
        return BadSource(place=name, problem=error.message.removeprefix(f"{name}: "))
    return BadSource(place=name, problem=str(error.strerror or error))


def _row_sources(path: Path, name: str) -> Iterator[Source | BadSource]:
    with path.open("rb") as file:
        done, found, told = 0, Found(), set[str]()
        for raw in read_jsonl(file, found, readable=READABLE, max_line_bytes=4 * MAX_TEXT_CHARS):
            size, done = file.tell() - done, file.tell()
            yield _row_source(raw, f"row {raw.number} of {name}", size, unread=tuple(sorted(found.ignored - told)))
            told |= found.ignored


def _row_source(raw: RawRow, place: str, size: int, *, unread: tuple[str, ...] = ()) -> Source | BadSource:
    """The source that a row is. Its hash is that of its content, whatever the order of its fields; a row without id has one from it.

    `unread` are fields that no document has, and that no row before had: a misspelt `access` should not pass in silence.
    """
    if not isinstance(raw.data, dict):
        return BadSource(place=place, problem=raw.problem, size=size)
    try:
        digest = source_digest(orjson.dumps(raw.data, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError:  # deeper than 254 it can be read, not written
        return BadSource(place=place, problem="It is nested too deeply.", size=size)
    try:
        id = document_id(raw.data.get("id")) or f"d-{digest[:16]}"
    except InvalidRequest as error:
        return BadSource(place=place, problem=error.message, size=size)
    return Source(place=place, id=id, sha256=digest, size=size, read=partial(_reading_of_data, {**raw.data, "id": id}, digest, unread))


def _reading_of_data(data: dict[str, object], digest: str, unread: tuple[str, ...]) -> Reading:
    """The reading of a row; a date that cannot be read is left out, since the rest of the document is worth having without it."""
    warnings: tuple[str, ...] = (
        (f"These fields are not read: {', '.join(unread)}. A document has {', '.join(READABLE)}.",) if unread else ()
    )
    try:
        row = parse_document(data)
    except InvalidRequest as error:
        if error.details.get("field") != "date" or not isinstance(data.get("date"), str):
            raise
        row = parse_document({**data, "date": None})
        warnings += (f"Its date {str(data['date'])[:40]!r} is left out: {error.message}",)
    return replace(reading_of_row(row, source_sha256=digest, kept=KEPT_BY_ROWS), warnings=warnings)


def _file_source(path: Path, name: str, archive: UnpackedArchive | None) -> Source:
    with path.open("rb") as file:
        digest = source_digest(_reading_of(name), hashlib.file_digest(file, "sha256").hexdigest())
    steps = partial(_steps_of_file, path, name, digest, archive)
    return Source(place=name, id=file_id(name), sha256=digest, size=path.stat().st_size, read=lambda: last_of(steps()), read_in_steps=steps)


def _reading_of(name: str) -> bytes:
    """What beside a file's content decides what is read of it: a PDF may say more once its scanned pages, or more of them, can be recognised."""
    settings = get_settings()
    if format_of_suffix(name) is not Format.PDF or not (can_recognise() and settings.ocr_pages):
        return b""
    return f"ocr {settings.ocr_pages} {settings.ocr_seconds:g}".encode()


def file_id(name: str) -> str:
    """The id of the document that a file of this name is: the name itself, where that is one."""
    cleaned = clean_text(name)
    if cleaned == name and len(name) <= MAX_ID_CHARS:
        return name
    return f"{cleaned[: MAX_ID_CHARS - 20]}~{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}"


def _steps_of_file(path: Path, name: str, digest: str, archive: UnpackedArchive | None) -> Generator[PagesDone, None, Reading]:
    """What a parsed file says. Holding the archive that it came from keeps its bytes there until then."""
    try:
        parsed = yield from parse_in_steps(path, name=name)
    except UnreadableFile as error:
        raise InvalidRequest(error.message.removeprefix(f"{name}: "), **error.details) from error
    row = DocumentRow(
        id=file_id(name),
        text="",
        title=(parsed.title or clean_text(PurePosixPath(name).stem))[:MAX_TITLE_CHARS],
        author=parsed.author[:MAX_AUTHOR_CHARS],
        language=parsed.language,
        date=parsed.date,
        media_type=parsed.media_type,
    )
    return Reading(row=row, blocks=parsed.blocks, source_sha256=digest, kept=KEPT_BY_FILES, warnings=parsed.warnings)


def source_digest(*parts: bytes | str) -> str:
    """The hash of what a document is made from, and of how it is processed."""
    hashed = hashlib.sha256(f"{PROCESSING}\n".encode())
    for part in parts:
        hashed.update(part.encode() if isinstance(part, str) else part)
    return hashed.hexdigest()
