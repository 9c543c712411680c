"""Packed answers, and how far they are unpacked."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from apps.retrieval.sites.bodies import read_body, unpack_gzip
from apps.retrieval.sites.refusal import PageRefused, Problem

TEXT = b"one two three " * 1000


def in_parts(data: bytes, size: int = 100) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("", TEXT), ("gzip", gzip.compress(TEXT, mtime=0)), ("x-gzip", gzip.compress(TEXT, mtime=0)), ("deflate", zlib.compress(TEXT))],
)
def test_packed_answers_are_unpacked(encoding: str, packed: bytes) -> None:
    assert read_body(in_parts(packed), {"content-encoding": encoding}, len(TEXT)) == TEXT


@pytest.mark.parametrize(
    ("encoding", "data"), [("gzip", gzip.compress(TEXT, mtime=0)[:-9]), ("gzip", b"no gzip at all"), ("br", b"x"), ("gzip", b"")]
)
def test_damaged_and_unknown_packing_is_refused(encoding: str, data: bytes) -> None:
    with pytest.raises(PageRefused) as refused:
        read_body(in_parts(data), {"content-encoding": encoding}, 1 << 20)
    assert refused.value.problem is Problem.DAMAGED


def test_a_bomb_is_left_when_it_grows_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(200 << 20), compresslevel=1)
    tracemalloc.start()
    for unpack in (lambda: unpack_gzip(bomb, 1 << 20), lambda: read_body([bomb], {"content-encoding": "gzip"}, 1 << 20)):
        with pytest.raises(PageRefused) as refused:
            unpack()
        assert refused.value.problem is Problem.TOO_LARGE
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_an_answer_that_tells_its_length_is_refused_before_the_first_byte() -> None:
    def never() -> bytes:
        raise AssertionError

    with pytest.raises(PageRefused) as refused:
        read_body((never() for _ in range(1)), {"content-length": "1000"}, 999)
    assert refused.value.problem is Problem.TOO_LARGE


@pytest.mark.parametrize("length", ["9" * 5000, "٣" * 30])
def test_a_length_of_any_size_is_too_large(length: str) -> None:
    with pytest.raises(PageRefused) as refused:
        read_body([TEXT], {"content-length": length}, 1 << 20)
    assert refused.value.problem is Problem.TOO_LARGE
