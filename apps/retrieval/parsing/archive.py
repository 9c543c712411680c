"""Which files does a zip archive hold? Unpacked one by one, within limits, under names that cannot leave the folder."""

from __future__ import annotations

import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.zipped import MIB, ZIP_ERRORS, open_zip

_IGNORED = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
_CHUNK = 1 << 18
_UTF8_NAME = 0x800


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file of an archive: its name within, and the file that holds it, or why there is none."""

    name: str
    file: str = ""
    reason: str = ""
    problem: str = ""


def unpack(path: Path, folder: Path, limits: ParseLimits) -> list[Member]:
    """Writes the members to numbered files in the folder. A bad member costs only itself; a bad archive raises UnreadableFile."""
    with open_zip(path, limits) as archive:
        left = limits.max_unpacked_mb * MIB
        members: list[Member] = []
        for number, info in enumerate(archive.infolist()):
            name = member_name(info)
            if info.is_dir() or any(part in _IGNORED for part in PurePosixPath(name).parts):
                continue
            try:
                left -= _write(archive, info, name, folder / str(number), left, limits)
                members.append(Member(name=name, file=str(number)))
            except UnreadableFile as error:
                members.append(Member(name=name, reason=error.reason.value, problem=error.problem))
        return members


def member_name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: names without the UTF-8 flag come as code page 437, and are most often GB 18030 or UTF-8."""
    name = info.filename
    if not info.flag_bits & _UTF8_NAME and not name.isascii():
        raw = name.encode("cp437", "replace")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _write(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, target: Path, left: int, limits: ParseLimits) -> int:
    """Unpacks one member; returns its size in bytes. Bounded by what arrives, not by what the archive says."""
    path = PurePosixPath(name)
    if not path.parts:
        raise UnreadableFile(Reason.UNSAFE, "it has no name in the archive")
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UnreadableFile(Reason.UNSAFE, "its name in the archive leads out of the archive")
    if (info.external_attr >> 16) & 0o170000 == 0o120000:
        raise UnreadableFile(Reason.UNSAFE, "it is a link in the archive")
    if info.file_size > limits.max_file_mb * MIB:
        raise UnreadableFile(Reason.TOO_LARGE, f"it has {info.file_size // MIB:,} MiB, more than {limits.max_file_mb:,}")
    written = 0
    try:
        with archive.open(info) as source, target.open("wb") as file:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > left:
                    raise UnreadableFile(Reason.BOMB, "the archive unpacks to more than it says")
                file.write(chunk)
    except ZIP_ERRORS as error:
        target.unlink(missing_ok=True)
        raise UnreadableFile(Reason.DAMAGED, f"it is damaged in the archive ({type(error).__name__})") from error
    return written
