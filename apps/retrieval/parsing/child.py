"""The process that reads files for `sandbox`: it forks once a file, so that a limit or a crash costs that file alone.

    python -m apps.retrieval.parsing.child

It imports no Django and no model. A request is a line of JSON; a reply is a line of JSON and as many bytes as it names.
Files are read by a fork with bounds on memory, processor time and written files; what it says is bounded too. The parsers
that were needed once stay imported, so that the next fork starts with them.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from apps.retrieval.parsing import archive, formats
from apps.retrieval.parsing.parsed import ParsedDocument
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile

IDLE_S = 60.0
_MIB = 1 << 20
# Of a full memory bound, libraries in C often crash rather than fail: this near to it, memory is what ran out.
_NEAR = 0.6
# JSON of a document: UTF-8, escapes, the names of the fields.
_BYTES_A_CHAR = 4
_SPARE_BYTES = 32 * _MIB


def main() -> None:
    """Answers requests until the input ends or none came for a minute."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    requests = sys.stdin.buffer
    while select.select([requests], [], [], IDLE_S)[0]:
        line = requests.readline()
        if not line:
            return
        _answer(json.loads(line), replies)


def _answer(request: dict[str, Any], replies: BinaryIO) -> None:
    limits = ParseLimits(**request.pop("limits"))
    header, body = _run_forked(request, limits)
    module = header.get("module")
    if module in list(formats.Format):
        importlib.import_module(f"{__package__}.{module}")
    replies.write(json.dumps({**header, "bytes": len(body)}).encode() + b"\n" + body)
    replies.flush()


def _run_forked(request: dict[str, Any], limits: ParseLimits) -> tuple[dict[str, Any], bytes]:
    """What a fork says about a file: a header, and its output or nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(request, limits, writing)
    os.close(writing)
    output, cut = _read_until(reading, time.monotonic() + limits.wall_s, limits.max_chars * _BYTES_A_CHAR + _SPARE_BYTES)
    if cut:
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    _, status, usage = os.wait4(pid, 0)
    cost = {"peak_mb": usage.ru_maxrss // 1024, "cpu_s": round(usage.ru_utime + usage.ru_stime, 3)}
    reason, problem = _verdict(cut, status, usage, limits)
    if reason is not None:
        return {"reason": reason.value, "problem": problem, **cost}, b""
    head, _, body = output.partition(b"\n")
    return {**json.loads(head), **cost}, body


def _read_until(source: int, deadline: float, max_bytes: int) -> tuple[bytes, Reason | None]:
    """All that comes, or why it was cut short: time, size, or nobody left who wants it."""
    chunks: list[bytes] = []
    size = 0
    while True:
        left = deadline - time.monotonic()
        ready = select.select([source, sys.stdin.buffer], [], [], max(0.0, left))[0]
        if sys.stdin.buffer in ready:
            # Nobody asks twice at a time: the input has ended.
            os.killpg(0, signal.SIGKILL)
        if not ready:
            return b"", Reason.TOO_SLOW
        chunk = os.read(source, _MIB)
        if not chunk:
            return b"".join(chunks), None
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            return b"", Reason.TOO_MUCH_TEXT


def _verdict(cut: Reason | None, status: int, usage: resource.struct_rusage, limits: ParseLimits) -> tuple[Reason | None, str]:
    """Why a fork gave no answer, or None if it did."""
    if cut is Reason.TOO_SLOW:
        return cut, f"reading it took longer than {limits.wall_s:g} s"
    if cut is not None:
        return cut, "it holds more text than can be taken"
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return None, ""
    out_of_time = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU  # the kernel counts in ticks, the usage does not
    if out_of_time or usage.ru_utime + usage.ru_stime >= limits.cpu_s * 0.95:
        return Reason.TOO_SLOW, f"reading it took more than {limits.cpu_s} s of processor time"
    if usage.ru_maxrss / 1024 > limits.memory_mb * _NEAR:
        return Reason.TOO_MUCH_MEMORY, f"reading it needs more than {limits.memory_mb} MiB of memory"
    return Reason.CRASHED, "the library that reads this format crashed on it"


def _work(request: dict[str, Any], limits: ParseLimits, output: int) -> NoReturn:
    """The fork: reads the file, writes the answer, and ends without running what its parent has registered."""
    header: dict[str, Any] = {}
    body = b""
    try:
        _bound(limits, write_mb=limits.max_unpacked_mb if request["do"] == "unpack" else 0)
        header, body = _DOES[request["do"]](request, limits)
    except UnreadableFile as error:
        header = {"reason": error.reason.value, "problem": error.problem}
    except MemoryError:
        header = {"reason": Reason.TOO_MUCH_MEMORY.value, "problem": f"reading it needs more than {limits.memory_mb} MiB of memory"}
    except RecursionError:
        header = {"reason": Reason.TOO_DEEP.value, "problem": "it is nested too deeply"}
    except Exception as error:  # noqa: BLE001 - parsers raise anything on damaged files; the fork ends either way
        header = {"reason": Reason.DAMAGED.value, "problem": f"it is damaged or not what it seems ({type(error).__name__})"}
    status = 1
    try:
        with os.fdopen(output, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n" + body)
        status = 0
    finally:
        os._exit(status)


def _bound(limits: ParseLimits, *, write_mb: int) -> None:
    """Bounds what this process may take (setrlimit(2)); one that the system lacks or forbids is left as it is."""
    bounds = {
        resource.RLIMIT_AS: (limits.memory_mb * _MIB, limits.memory_mb * _MIB),
        resource.RLIMIT_CPU: (limits.cpu_s, limits.cpu_s + 1),
        resource.RLIMIT_FSIZE: (write_mb * _MIB, write_mb * _MIB),
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, bound in bounds.items():
        try:
            resource.setrlimit(kind, bound)
        except (ValueError, OSError):
            continue


def _detect(request: dict[str, Any], limits: ParseLimits) -> tuple[dict[str, Any], bytes]:
    return {"format": _format(request, limits).value}, b""


def _format(request: dict[str, Any], limits: ParseLimits) -> formats.Format:
    format = formats.detect_format(Path(request["path"]), str(request["name"]), limits)
    if format is formats.Format.ZIP:
        raise UnreadableFile(Reason.ARCHIVE, "it is a zip archive, not one document")
    return format


def _parse(request: dict[str, Any], limits: ParseLimits) -> tuple[dict[str, Any], bytes]:
    path, name = Path(request["path"]), str(request["name"])
    format = _format(request, limits)
    parser = importlib.import_module(f"{__package__}.{format.value}")
    along = {"recognised": request["recognised"]} if "recognised" in request else {}
    document: ParsedDocument = parser.parse(path, limits, **along)
    if not document.blocks and not document.scanned:
        raise UnreadableFile(Reason.NO_TEXT, "no text was found in it")
    return {"module": format.value, "media_type": formats.MEDIA_TYPES[format]}, _as_json(document, _misnamed(format, name))


def _misnamed(format: formats.Format, name: str) -> list[str]:
    promised = formats.format_of_suffix(name)
    if promised is None or promised in (format, formats.Format.TEXT):
        return []
    return [f"The name promises {formats.MEDIA_TYPES[promised]}, but it is {formats.MEDIA_TYPES[format]} and was read as that."]


def _as_json(document: ParsedDocument, warnings: list[str]) -> bytes:
    whole = {
        "blocks": [(block.kind.value, block.text, block.level, block.page) for block in document.blocks],
        "title": document.title,
        "author": document.author,
        "language": document.language,
        "date": document.date.isoformat() if document.date is not None else None,
        "warnings": [*warnings, *document.warnings],
        "scanned": document.scanned,
    }
    return json.dumps(whole, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _recognise(request: dict[str, Any], limits: ParseLimits) -> tuple[dict[str, Any], bytes]:
    """The lines of the first of the pages that are asked for, as many as time allows."""
    found = importlib.import_module(f"{__package__}.ocr").recognise_pages(Path(request["path"]), request["pages"], limits)
    rows = [(page, [(line.text, line.left, line.bottom, line.right, line.top) for line in lines]) for page, lines in found.items()]
    return {}, json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _unpack(request: dict[str, Any], limits: ParseLimits) -> tuple[dict[str, Any], bytes]:
    members = archive.unpack(Path(request["path"]), Path(request["folder"]), limits)
    rows = [(member.name, member.file, member.reason, member.problem) for member in members]
    return {}, json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass")


_DOES: dict[str, Callable[[dict[str, Any], ParseLimits], tuple[dict[str, Any], bytes]]] = {
    "detect": _detect,
    "parse": _parse,
    "recognise": _recognise,
    "unpack": _unpack,
}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
