"""Which format is a file, by what it holds? Its name only decides between kinds of plain text."""

from __future__ import annotations

import json
import re
import zipfile
from enum import StrEnum
from pathlib import Path, PurePosixPath

from apps.retrieval.parsing.encodings import decode_text
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from apps.retrieval.parsing.zipped import open_zip


class Format(StrEnum):
    """A format that can be read: its value is the module that parses it."""

    PDF = "pdf"
    DOCX = "word"
    PPTX = "slides"
    XLSX = "sheets"
    CSV = "delimited"
    HTML = "web_page"
    MARKDOWN = "markdown"
    TEXT = "plain"
    EPUB = "epub"
    JSONL = "rows"
    ZIP = "archive"


MEDIA_TYPES = {
    Format.PDF: "application/pdf",
    Format.DOCX: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    Format.PPTX: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.CSV: "text/csv",
    Format.HTML: "text/html",
    Format.MARKDOWN: "text/markdown",
    Format.TEXT: "text/plain",
    Format.EPUB: "application/epub+zip",
    Format.JSONL: "application/jsonl",
    Format.ZIP: "application/zip",
}
SUFFIXES = {
    Format.PDF: (".pdf",),
    Format.DOCX: (".docx", ".docm", ".dotx"),
    Format.PPTX: (".pptx", ".pptm", ".ppsx"),
    Format.XLSX: (".xlsx", ".xlsm"),
    Format.CSV: (".csv", ".tsv"),
    Format.HTML: (".html", ".htm", ".xhtml"),
    Format.MARKDOWN: (".md", ".markdown"),
    Format.TEXT: (".txt", ".text", ".log", ""),
    Format.EPUB: (".epub",),
    Format.JSONL: (".jsonl", ".ndjson", ".json"),
    Format.ZIP: (".zip",),
}
HEAD_BYTES = 65_536
_FOREIGN = (
    (b"{\\rtf", "RTF"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"ID3", "an MP3 file"),
    (b"OggS", "an Ogg file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a Java class"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"%!PS", "PostScript"),
)
_HTML = re.compile(r"\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--(?:(?!-->).){0,2000}-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_XML = re.compile(r"\s*<(?:\?xml|!DOCTYPE|!ENTITY)\b", re.I)
_TAG = re.compile(r"</(?:p|div|span|table|ul|ol|h[1-6]|title|section|article)\s*>", re.I)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
MAX_CONTROL_SHARE = 0.02
MAX_BROKEN_SHARE = 0.10


def detect_format(path: Path, name: str, limits: ParseLimits) -> Format:
    """The format of a file. Raises UnreadableFile for what is empty, encrypted, damaged or of no format that can be read."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip(b"\x00 \t\r\n\xef\xbb\xbf"):
        raise UnreadableFile(Reason.EMPTY, "it is empty" if not head else "it holds nothing but blanks")
    if b"%PDF-" in head[:1024]:
        return Format.PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _zip_format(path, limits)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise _old_office(path)
    for magic, kind in _FOREIGN:
        if head.startswith(magic) and not (len(magic) == 2 and _looks_like_text(head)):
            raise UnreadableFile(Reason.UNSUPPORTED, f"it is {kind}, which cannot be read")
    return _text_format(head, PurePosixPath(name.replace("\\", "/")).suffix.lower())


def format_of_suffix(name: str) -> Format | None:
    """The format that a name promises, if any."""
    suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    return next((format for format, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def _zip_format(path: Path, limits: ParseLimits) -> Format:
    with open_zip(path, limits) as archive:
        names = set(archive.namelist())
        if "[Content_Types].xml" in names:
            for folder, format in (("word/", Format.DOCX), ("ppt/", Format.PPTX), ("xl/", Format.XLSX)):
                if any(name.startswith(folder) and name.endswith(".xml") for name in names):
                    return format
        if "META-INF/container.xml" in names:
            return Format.EPUB
        if "mimetype" in names and _mimetype(archive).startswith("application/vnd.oasis.opendocument"):
            raise UnreadableFile(Reason.UNSUPPORTED, "it is an OpenDocument file, which cannot be read")
    return Format.ZIP


def _mimetype(archive: zipfile.ZipFile) -> str:
    try:
        with archive.open("mimetype") as member:
            return member.read(200).decode("ascii", "replace")
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError):
        return ""


def _old_office(path: Path) -> UnreadableFile:
    """Compound files are Office 97 documents, or the shell of an encrypted one ([MS-OFFCRYPTO] 1.3.2)."""
    with path.open("rb") as file:
        data = file.read(16 * 1024 * 1024)
    if "EncryptedPackage".encode("utf-16-le") in data:
        return UnreadableFile(Reason.ENCRYPTED, "it is an Office document with a password")
    return UnreadableFile(Reason.UNSUPPORTED, "it is an old binary Office file (doc, xls, ppt or msg), which cannot be read")


def _looks_like_text(head: bytes) -> bool:
    text, _ = decode_text(head)
    return len(_CONTROL.findall(text)) <= MAX_CONTROL_SHARE * len(text) and text.count("\ufffd") <= MAX_BROKEN_SHARE * len(text)


def _text_format(head: bytes, suffix: str) -> Format:
    if not _looks_like_text(head):
        raise UnreadableFile(Reason.UNSUPPORTED, "it is neither text nor of a format that can be read")
    text, _ = decode_text(head)
    if _HTML.match(text):
        return Format.HTML
    if _XML.match(text):
        if suffix in SUFFIXES[Format.HTML] or "http://www.w3.org/1999/xhtml" in text[:2000]:
            return Format.HTML
        raise UnreadableFile(Reason.UNSUPPORTED, "it is an XML file of no format that can be read")
    if suffix in SUFFIXES[Format.JSONL] or (text.lstrip()[:1] == "{" and _is_row(text)):
        return Format.JSONL
    for format in (Format.MARKDOWN, Format.CSV):
        if suffix in SUFFIXES[format]:
            return format
    if suffix in SUFFIXES[Format.HTML] or len(_TAG.findall(text)) >= 5:
        return Format.HTML if _TAG.search(text) else Format.TEXT
    return Format.TEXT


def _is_row(text: str) -> bool:
    try:
        return isinstance(json.loads(text.lstrip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False
