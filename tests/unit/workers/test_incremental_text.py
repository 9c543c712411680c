from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from workers.incremental_text import Detokenizer, StopFilter


def decode_bytes(ids: Sequence[int]) -> str:
    """Each token is one byte."""
    return bytes(ids).decode(errors="replace")


def pieces_of(text: str, prompt: str = "assistant:") -> list[str]:
    detokenizer = Detokenizer(decode_bytes, list(prompt.encode()))
    return [*(detokenizer.push(byte) for byte in text.encode()), detokenizer.flush()]


def filtered(pieces: Sequence[str], *stops: str) -> tuple[str, bool]:
    stop_filter, shown = StopFilter(stops), ""
    for piece in pieces:
        shown += stop_filter.push(piece)
        if stop_filter.stopped:
            return shown, True
    return shown + stop_filter.flush(), False


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd")))
def test_any_text_comes_in_whole_characters(text: str) -> None:
    pieces = pieces_of(text)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_comes_with_the_last_of_its_bytes() -> None:
    assert pieces_of("你a") == ["", "", "你", "a", ""]


def test_half_a_character_at_the_end_is_left_out() -> None:
    detokenizer = Detokenizer(decode_bytes, [])
    assert "".join([*(detokenizer.push(byte) for byte in "好的".encode()[:-1]), detokenizer.flush()]) == "好"


def test_bytes_that_make_no_character_do_not_hold_the_rest_back() -> None:
    detokenizer = Detokenizer(decode_bytes, [])
    assert [detokenizer.push(byte) for byte in b"\xff\xffab"] == ["", "", "\ufffd\ufffda", "b"]


def test_a_stop_string_is_found_across_pieces() -> None:
    assert filtered(["so ", "EN", "D", " more"], "END") == ("so ", True)


def test_what_only_begins_like_a_stop_string_is_shown_in_the_end() -> None:
    stop_filter = StopFilter(["END"])
    assert stop_filter.push("so EN") == "so "
    assert stop_filter.push("TER E") == "ENTER "
    assert stop_filter.flush() == "E"


def test_the_first_of_several_stop_strings_counts() -> None:
    assert filtered(["a b c"], "c", "b") == ("a ", True)


@given(st.lists(st.text("ab", max_size=4), max_size=12), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3))
def test_what_is_shown_is_the_text_before_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    """Pieces of one character: where two stop strings end at the same place, the longer begins first, in both."""
    text = "".join(pieces)
    ends = [end for end in range(len(text) + 1) if any(text[:end].endswith(stop) for stop in stops)]
    shown, stopped = filtered(list(text), *stops)
    assert stopped == bool(ends)
    assert shown == (text[: min(text[: ends[0]].find(stop) for stop in stops if stop in text[: ends[0]])] if ends else text)


def test_without_stop_strings_nothing_is_held() -> None:
    assert StopFilter(()).push("anything") == "anything"
