"""What do the bytes of an answer unpack to, within a limit? Bombs of gzip are left as soon as they grow beyond it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping

from apps.retrieval.sites.refusal import PageRefused, Problem

MAX_DIGITS = 15  # of a length: no page has a petabyte
GZIP = b"\x1f\x8b"
_MIB = 1 << 20
_STEP = 1 << 16
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


def read_body(parts: Iterable[bytes], headers: Mapping[str, str], max_bytes: int) -> bytes:
    """The parts joined and unpacked as the headers say. Raises PageRefused beyond the limit (before the first byte where the length is
    told), and where they are damaged."""
    length, encoding = headers.get("content-length", ""), headers.get("content-encoding", "").strip().lower()
    if length.isdecimal() and (len(length) > MAX_DIGITS or int(length) > max_bytes):
        raise _too_large(max_bytes)
    if encoding in ("", "identity"):
        return _joined(parts, max_bytes)
    if encoding not in _PACKED:
        raise PageRefused(Problem.DAMAGED, f"It is packed as {encoding[:40]!r}, which was not asked for.")
    return _joined(_unpacked(_within(parts, max_bytes)), max_bytes)


def unpack_gzip(data: bytes, max_bytes: int) -> bytes:
    """What a gzip file holds. Raises as `read_body`."""
    return _joined(_unpacked([data]), max_bytes)


def _unpacked(parts: Iterable[bytes]) -> Iterator[bytes]:
    """At most `_STEP` bytes at a time; zlib's own header is told from gzip's by the data (zlib manual, `inflateInit2`, 32 + 15)."""
    unpacking = zlib.decompressobj(47)
    try:
        for part in parts:
            while part and not unpacking.eof:
                yield unpacking.decompress(part, _STEP)
                part = unpacking.unconsumed_tail
        yield unpacking.flush(_STEP)
    except zlib.error as error:
        raise PageRefused(Problem.DAMAGED, "It is packed, and damaged.") from error
    if not unpacking.eof:
        raise PageRefused(Problem.DAMAGED, "It is packed, and breaks off.")


def _joined(parts: Iterable[bytes], max_bytes: int) -> bytes:
    return b"".join(_within(parts, max_bytes))


def _within(parts: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        yield part


def _too_large(max_bytes: int) -> PageRefused:
    return PageRefused(Problem.TOO_LARGE, f"It is larger than {max_bytes // _MIB} MiB (QA_SITE_PAGE_MB).")
