"""How is a file read without trusting it? It is handed to a reading process, and only plain text comes back.

`parse_file` gives one document, `UnpackedArchive` the files of an archive. A file that cannot be read raises (or is listed with)
one UnreadableFile that names it; this process is never harmed.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from apps.retrieval.parsing.held_folders import held_file, held_folder
from apps.retrieval.parsing.parsed import Block, BlockKind, ParsedDocument
from apps.retrieval.parsing.readers import ask_reader
from apps.retrieval.parsing.recognition import PagesDone, can_recognise, recognise, with_recognition, without_recognition
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.stated import stated_author
from core.config import get_settings
from core.text import clean_answer, clean_text

_MIB = 1 << 20
MAX_FACT_CHARS = 500
T = TypeVar("T")


def parse_limits() -> ParseLimits:
    """The limits that the settings give."""
    settings = get_settings()
    seconds = settings.parse_seconds
    return ParseLimits(
        max_file_mb=settings.parse_max_file_mb,
        memory_mb=settings.parse_memory_mb,
        cpu_s=max(1, int(seconds)),
        wall_s=seconds * 1.5,
        ocr_pages=settings.ocr_pages,
        ocr_s=settings.ocr_seconds,
    )


def parse_file(source: Path | bytes, *, name: str = "", limits: ParseLimits | None = None) -> ParsedDocument:
    """What a file says, by what it holds; `name` is used in errors and to tell kinds of plain text apart.

    Raises UnreadableFile, for a zip archive with `Reason.ARCHIVE`. Safe to call from several threads.
    """
    limits = limits or parse_limits()
    if isinstance(source, bytes):
        with held_file(source) as path:
            return last_of(parse_in_steps(path, name=name, limits=limits))
    return last_of(parse_in_steps(source, name=name, limits=limits))


def last_of(steps: Generator[object, None, T]) -> T:
    """What the steps come to, for whoever waits for it."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def parse_in_steps(path: Path, *, name: str = "", limits: ParseLimits | None = None) -> Generator[PagesDone, None, ParsedDocument]:
    """As `parse_file`, for whoever shows progress or has other things to do: yields now and then where a file takes long, as scanned ones do."""
    limits, name = limits or parse_limits(), name or path.name
    document = _parse(path, name, limits)
    if not document.scanned:
        return document
    if not (can_recognise() and limits.ocr_pages):
        return without_recognition(document, name)
    recognised = yield from recognise(path, name, document.scanned, limits)
    if recognised.lines:
        document = _parse(path, name, limits, recognised=list(recognised.lines.items()))
    return with_recognition(document, recognised, name)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive of files, not a document in a zip archive as Office files and books are. Never raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            if not file.read(4).startswith(b"PK"):
                return False
        ask_reader({"do": "detect", "path": str(path.resolve()), "name": path.name}, path.name, parse_limits())
    except OSError:
        return False
    except UnreadableFile as error:
        return error.reason is Reason.ARCHIVE
    return False


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpackedFile:
    """A file of an archive: its name with those of the archives around it, and where its bytes lie, or why there are none."""

    name: str
    path: Path | None = None
    error: UnreadableFile | None = None


class UnpackedArchive:
    """The files of an archive and of the archives in it. They lie in a folder that goes when nobody holds this object any more.

    A file that cannot be unpacked is there with its error. Raises UnreadableFile where the archive itself cannot be read. The
    limits on unpacked size and number hold for an archive with all archives in it; `max_nesting` says how deep these may lie.
    """

    def __init__(self, path: Path, *, name: str = "", limits: ParseLimits | None = None) -> None:
        self._limits = limits or parse_limits()
        self._folder, self.close = held_folder(self)
        self._number = self._taken = self._members = 0
        try:
            _check_size(path, name or path.name, self._limits)
            self.files = tuple(self._unpack(path, name or path.name, nesting=1))
        except BaseException:
            self.close()
            raise

    def _left(self) -> ParseLimits:
        """The limits without what was unpacked so far."""
        return dataclasses.replace(
            self._limits,
            max_unpacked_mb=max(0, self._limits.max_unpacked_mb - -(-self._taken // _MIB)),
            max_members=max(0, self._limits.max_members - self._members),
        )

    def _unpack(self, path: Path, name: str, *, nesting: int) -> Iterator[UnpackedFile]:
        if nesting > self._limits.max_nesting:
            raise UnreadableFile(Reason.BOMB, f"it lies in more than {self._limits.max_nesting - 1} other archives", name=name)
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        members = json.loads(ask_reader({"do": "unpack", "path": str(path.resolve()), "folder": str(folder)}, name, self._left())[1])
        if not members:
            raise UnreadableFile(Reason.EMPTY, "the archive holds no file", name=name)
        self._taken += sum(file.stat().st_size for file in folder.iterdir())
        self._members += len(members)
        for member, file, reason, problem in members:
            inner = f"{name}/{clean_text(member)}"
            if reason:
                yield UnpackedFile(name=inner, error=UnreadableFile(Reason(reason), problem, name=inner))
            elif is_archive(folder / file):
                try:
                    yield from self._unpack(folder / file, inner, nesting=nesting + 1)
                except UnreadableFile as error:
                    yield UnpackedFile(name=inner, error=error)
            else:
                yield UnpackedFile(name=inner, path=folder / file)


def _parse(path: Path, name: str, limits: ParseLimits, **along: object) -> ParsedDocument:
    _check_size(path, name, limits)
    header, body = ask_reader({"do": "parse", "path": str(path.resolve()), "name": name, **along}, name, limits)
    return _document(json.loads(body.decode("utf-8", "surrogatepass")), str(header["media_type"]))


def _check_size(path: Path, name: str, limits: ParseLimits) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise UnreadableFile(Reason.MISSING, f"it cannot be opened ({getattr(error, 'strerror', error)})", name=name) from error
    if not stat.S_ISREG(status.st_mode) or not os.access(path, os.R_OK):
        raise UnreadableFile(Reason.MISSING, "it is not a file that may be read", name=name)
    if status.st_size == 0:
        raise UnreadableFile(Reason.EMPTY, "it is empty", name=name)
    if status.st_size > limits.max_file_mb * _MIB:
        raise UnreadableFile(Reason.TOO_LARGE, f"it has {status.st_size // _MIB:,} MiB, more than {limits.max_file_mb:,}", name=name)


def _document(whole: dict[str, Any], media_type: str) -> ParsedDocument:
    """The document as it came from the other process, cleaned of what no text should hold."""
    blocks = (
        Block(kind=BlockKind(kind), text=clean, level=int(level), page=page)
        for kind, text, level, page in whole["blocks"]
        if (clean := clean_answer(text))
    )
    return ParsedDocument(
        blocks=tuple(blocks),
        title=clean_text(whole["title"])[:MAX_FACT_CHARS],
        author=stated_author(clean_text(whole["author"]))[:MAX_FACT_CHARS],
        language=clean_text(whole["language"])[:8],
        date=datetime.date.fromisoformat(whole["date"]) if whole["date"] else None,
        media_type=media_type,
        warnings=tuple(clean_text(warning) for warning in whole["warnings"]),
        scanned=tuple(whole["scanned"]),
    )
