"""What is written in one turn of the event loop leaves in one write, and nothing is lost when the connection closes."""

from __future__ import annotations

import asyncio

from qa_project.http_protocol import JoinedWrites


class Wire(asyncio.Transport):
    """A transport that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.told.append(bytes(data))

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.told

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.told.append("paused")


def on(wire: Wire, *steps: str) -> list[bytes | str]:
    async def run() -> list[bytes | str]:
        joined = JoinedWrites(wire)
        for step in steps:
            if step == "turn":
                await asyncio.sleep(0)
            elif step in ("close", "pause_reading"):
                getattr(joined, step)()
            else:
                joined.write(step.encode())
        await asyncio.sleep(0)
        return wire.told

    return asyncio.run(run())


def test_head_and_body_leave_together() -> None:
    assert on(Wire(), "head ", "body") == [b"head body"]


def test_what_is_written_later_leaves_later() -> None:
    assert on(Wire(), "one", "turn", "two") == [b"one", b"two"]


def test_closing_writes_what_was_kept_first() -> None:
    assert on(Wire(), "last words", "close") == [b"last words", "closed"]


def test_nothing_is_written_to_a_client_that_has_left() -> None:
    wire = Wire()
    wire.told.append("closed")
    assert on(wire, "too late") == ["closed"]


def test_the_rest_is_the_transports_own() -> None:
    assert on(Wire(), "pause_reading") == ["paused"]


def test_what_is_kept_counts_as_not_yet_written() -> None:
    async def run() -> int:
        joined = JoinedWrites(Wire())
        joined.write(b"12345")
        return joined.get_write_buffer_size()

    assert asyncio.run(run()) == 5
