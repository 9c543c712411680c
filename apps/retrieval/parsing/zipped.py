"""Is a zip file safe to read? Checked by its directory, before anything is unpacked."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile

MIB = 1 << 20
# What zipfile raises on damaged, cut or exotic members.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    struct.error,
    UnicodeDecodeError,
    OSError,
    ValueError,
    IndexError,
)
_MIN_DIRECTORY_ENTRY = 46


def open_zip(path: Path, limits: ParseLimits) -> zipfile.ZipFile:
    """The archive, opened and found safe: not too many members, not too large, packed by a likely ratio, without a password.

    `zipfile` never unpacks a member beyond its declared size, so that declared sizes bound what reading costs, also where
    members overlap. Raises UnreadableFile.
    """
    _check_directory(path, limits)
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_ERRORS as error:
        raise UnreadableFile(Reason.DAMAGED, f"its zip structure is damaged or cut short ({type(error).__name__})") from error
    try:
        _check_members(archive.infolist(), limits)
    except UnreadableFile:
        archive.close()
        raise
    return archive


def _check_directory(path: Path, limits: ParseLimits) -> None:
    """Refuses a directory with too many entries before `zipfile` makes an object of each (PKWARE APPNOTE 4.3.16)."""
    with path.open("rb") as file:
        file.seek(0, 2)
        size = file.tell()
        file.seek(max(0, size - 66_000))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise UnreadableFile(Reason.DAMAGED, "its zip structure is cut short: the directory at its end is missing")
    directory_bytes = min(size, struct.unpack_from("<L", tail, at + 12)[0])
    if directory_bytes // _MIN_DIRECTORY_ENTRY > limits.max_members * 8:
        raise UnreadableFile(Reason.BOMB, f"its directory has room for more than {limits.max_members * 8:,} members")


def _check_members(members: list[zipfile.ZipInfo], limits: ParseLimits) -> None:
    if len(members) > limits.max_members:
        raise UnreadableFile(Reason.BOMB, f"it holds {len(members):,} members, more than {limits.max_members:,}")
    if any(member.flag_bits & 0x1 for member in members):
        raise UnreadableFile(Reason.ENCRYPTED, "it is protected by a password")
    total = sum(member.file_size for member in members)
    if total > limits.max_unpacked_mb * MIB:
        raise UnreadableFile(Reason.BOMB, f"unpacked it would take {total // MIB:,} MiB, more than {limits.max_unpacked_mb:,}")
    for member in members:
        if member.file_size > MIB and member.file_size > limits.max_ratio * max(1, member.compress_size):
            raise UnreadableFile(Reason.BOMB, f"a member unpacks to more than {limits.max_ratio} times its packed size, as zip bombs do")


def refuse_doctypes(archive: zipfile.ZipFile) -> None:
    """Refuses Office files whose parts declare a document type: the format forbids it, entity bombs need it (ECMA-376-2, 6.2.5)."""
    for member in archive.infolist():
        if member.filename.endswith((".xml", ".rels")) and _declares_doctype(archive, member):
            raise UnreadableFile(Reason.UNSAFE, f"{member.filename[:80]} declares XML entities, which Office files must not")


def _declares_doctype(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(member) as part:
            head = part.read(4096)
    except ZIP_ERRORS:
        return False
    return any(mark.encode(encoding) in head for mark in ("<!DOCTYPE", "<!ENTITY") for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
