"""Why can a file not be read, and how much may reading one cost?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from core.errors import InvalidRequest


class Reason(StrEnum):
    """What is wrong with a file; `ADVICE` says for each what to do."""

    EMPTY = "empty"
    MISSING = "missing"
    UNSUPPORTED = "unsupported"
    ENCRYPTED = "encrypted"
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    TOO_MUCH_TEXT = "too_much_text"
    TOO_MUCH_MEMORY = "too_much_memory"
    TOO_SLOW = "too_slow"
    TOO_DEEP = "too_deep"
    BOMB = "bomb"
    UNSAFE = "unsafe"
    ARCHIVE = "archive"
    NO_TEXT = "no_text"
    SCANNED = "scanned"
    CRASHED = "crashed"


ADVICE = {
    Reason.EMPTY: "Remove it or upload the file again.",
    Reason.MISSING: "Check the path and its permissions.",
    Reason.UNSUPPORTED: "Save it as PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, text, EPUB or JSONL.",
    Reason.ENCRYPTED: "Remove the password and try again.",
    Reason.DAMAGED: "Open it in the program that made it, save it again and retry.",
    Reason.TOO_LARGE: "Split it, or raise QA_PARSE_MAX_FILE_MB.",
    Reason.TOO_MUCH_TEXT: "Split it into several files.",
    Reason.TOO_MUCH_MEMORY: "Split it, save it anew, or raise QA_PARSE_MEMORY_MB.",
    Reason.TOO_SLOW: "Split it, save it anew, or raise QA_PARSE_SECONDS.",
    Reason.TOO_DEEP: "Save it in a simpler form.",
    Reason.BOMB: "Unpack it and upload the files that you need.",
    Reason.UNSAFE: "Make it anew with the program that it belongs to.",
    Reason.ARCHIVE: "Download it and upload the file: its files are read one by one.",
    Reason.NO_TEXT: "Upload a version with text.",
    Reason.SCANNED: "Have the `ocr` extra installed on the server (`make install-ocr`), or upload a version with text.",
    Reason.CRASHED: "Save it anew and retry; report the file if it opens elsewhere.",
}


class UnreadableFile(InvalidRequest):
    """A file that cannot be read: `details.reason` is a `Reason`, `details.file` its name."""

    code: ClassVar[str] = "invalid_request"

    def __init__(self, reason: Reason, problem: str, *, name: str = "") -> None:
        super().__init__(f"{name or 'The file'}: {problem.rstrip('.')}. {ADVICE[reason]}", reason=reason.value, file=name)
        self.reason, self.problem, self.name = reason, problem, name

    def named(self, name: str) -> UnreadableFile:
        """The same refusal of the file of this name."""
        return UnreadableFile(self.reason, self.problem, name=name)


def listed_pages(pages: Sequence[int]) -> str:
    """The numbers of pages as a sentence names them: the first ten, and how many more."""
    shown = ", ".join(map(str, pages[:10]))
    return f"{shown} and {len(pages) - 10} more" if len(pages) > 10 else shown


@dataclass(frozen=True, kw_only=True, slots=True)
class ParseLimits:
    """What reading one file may cost, and what an archive may hold.

    `memory_mb` bounds the address space of the process that reads (64 MiB of it are Python's and the libraries' own);
    `max_ratio` how many times larger than packed a member of more than 1 MiB may be; `max_unpacked_mb` all members together;
    `ocr_pages` and `ocr_s` how many scanned pages of a file are recognised, and how long that may go on by the clock.
    """

    max_file_mb: int = 100
    memory_mb: int = 1024
    cpu_s: int = 60
    wall_s: float = 90.0
    max_chars: int = 10_000_000
    max_pages: int = 5_000
    max_members: int = 10_000
    max_unpacked_mb: int = 1024
    max_ratio: int = 250
    max_nesting: int = 2
    ocr_pages: int = 300
    ocr_s: float = 900.0
