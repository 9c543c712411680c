"""Which processes read files for this one? A few that threads share, without its secrets; each may die at any moment."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile
from core.config import get_settings
from core.cores import anywhere

CHUNK_BYTES = 1 << 20
# Beyond its own limits a reading process gets this long to say so.
_GRACE_S = 10.0
_ROOT = Path(__file__).resolve().parents[3]
_lock = threading.Lock()
_readers: Readers | None = None


class ReaderLost(Exception):
    """A reading process ended, or said nothing in time."""


class Reader:
    """One reading process: started with the first request, ended after a minute without any."""

    def __init__(self) -> None:
        # No setting and no secret of this process goes along.
        keep = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if key in os.environ}
        environment = {**keep, "PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with anywhere():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "apps.retrieval.parsing.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=_ROOT,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: dict[str, object], within_s: float) -> tuple[dict[str, Any], bytes]:
        """The header and the bytes of the reply. Raises ReaderLost; then this reader must be closed."""
        if self._process.stdin is None:
            raise ReaderLost
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ReaderLost from error
        deadline = time.monotonic() + within_s
        head, body = self._until_line(deadline)
        header = json.loads(head)
        return header, self._exactly(int(header["bytes"]), body, deadline)

    def close(self) -> None:
        """Ends the process and what it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what was not yet written cannot be
                        stream.close()
            self._process.wait()

    def _until_line(self, deadline: float) -> tuple[bytes, bytes]:
        data = b""
        while b"\n" not in data:
            data += self._some(deadline)
        head, _, rest = data.partition(b"\n")
        return head, rest

    def _exactly(self, size: int, begun: bytes, deadline: float) -> bytes:
        parts, have = [begun], len(begun)
        while have < size:
            parts.append(self._some(deadline))
            have += len(parts[-1])
        return b"".join(parts)

    def _some(self, deadline: float) -> bytes:
        if self._process.stdout is None:
            raise ReaderLost
        source = self._process.stdout.fileno()
        if not select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise ReaderLost
        data = os.read(source, CHUNK_BYTES)
        if not data:
            raise ReaderLost
        return data


class Readers:
    """Reading processes that threads share: each takes one for a file; a new one is started where none is idle."""

    def __init__(self, most: int) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._idle: queue.SimpleQueue[Reader] = queue.SimpleQueue()

    def ask(self, request: dict[str, object], within_s: float) -> tuple[dict[str, Any], bytes]:
        """The reply of an idle reader, or of a new one where that has ended meanwhile."""
        with self._places:
            for fresh in (False, True):
                reader = Reader() if fresh else self._idle_or_new()
                try:
                    reply = reader.ask(request, within_s)
                except ReaderLost:
                    reader.close()
                    continue
                except BaseException:
                    reader.close()
                    raise
                self._idle.put(reader)
                return reply
        return {"reason": Reason.CRASHED.value, "problem": "the process that read it was lost twice"}, b""

    def close(self) -> None:
        """Ends the idle ones."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _idle_or_new(self) -> Reader:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return Reader()


def readers() -> Readers:
    """The reading processes of this process, made on first use."""
    global _readers
    with _lock:
        if _readers is None:
            _readers = Readers(get_settings().parse_processes)
            atexit.register(_readers.close)
        return _readers


def ask_reader(request: dict[str, object], name: str, limits: ParseLimits) -> tuple[dict[str, Any], bytes]:
    """The reply of a reading process. Raises UnreadableFile for what it refuses, and where it is lost."""
    header, body = readers().ask({**request, "limits": dataclasses.asdict(limits)}, limits.wall_s + _GRACE_S)
    if "reason" in header:
        raise UnreadableFile(Reason(header["reason"]), str(header["problem"]), name=name)
    return header, body


def close_readers() -> None:
    """Ends the reading processes; the next file starts new ones."""
    global _readers
    with _lock:
        if _readers is not None:
            atexit.unregister(_readers.close)
            _readers.close()
            _readers = None


def _forget_readers() -> None:
    """A fork of this process must not share pipes with it."""
    global _readers
    _readers = None


os.register_at_fork(after_in_child=_forget_readers)
