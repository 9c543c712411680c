"""Text comes out as it was meant, whatever it was written in."""

from __future__ import annotations

import codecs

import pytest

from apps.retrieval.parsing.encodings import declared_encoding, decode_text, known_encoding
from tests.sample_files import SENTENCES

SIMPLIFIED = "".join(SENTENCES[:2]) + "\n请参阅 HR 手册。\n"
TRADITIONAL = "員工入職滿一年後每年享受十五天帶薪年假。差旅費用應當在返回後三十天內報銷。\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "gb2312", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_simplified_chinese_is_read_in_any_encoding(encoding: str) -> None:
    assert decode_text(SIMPLIFIED.encode(encoding))[0] == SIMPLIFIED


@pytest.mark.parametrize("encoding", ["utf-8", "big5", "gb18030", "utf-16-le"])
def test_traditional_chinese_is_read_in_any_encoding(encoding: str) -> None:
    assert decode_text(TRADITIONAL.encode(encoding))[0] == TRADITIONAL


def test_european_text_is_not_taken_for_chinese() -> None:
    text = "Les employés ont déjà reçu leur congé d'été. La forêt était très belle à l'automne, même là-bas. " * 4
    assert decode_text(text.encode("cp1252"))[0] == text


def test_a_character_cut_at_the_end_of_the_sample_does_not_change_the_guess() -> None:
    text = "a" + "年假" * 40_000
    assert decode_text(text.encode("utf-8"))[0] == text
    assert decode_text(text.encode("gb18030"))[0] == text


def test_bytes_that_are_no_text_give_replacement_characters_not_errors() -> None:
    assert "\ufffd" in decode_text(codecs.BOM_UTF8 + b"\xff\xfe\x80")[0]


def test_a_page_declares_its_encoding() -> None:
    assert declared_encoding(b'<meta charset="gb2312">') == "gb18030"
    assert declared_encoding(b'<?xml version="1.0" encoding="Big5"?>') == "big5hkscs"
    assert declared_encoding(b"<meta charset=klingon>") is None


@pytest.mark.parametrize(
    "name", ["utf-16", "utf-32-le", "utf-7", "hex", "rot13", "zlib", "idna", "punycode", "unicode_escape", "undefined", "a\0b", "é"]
)
def test_what_no_page_can_be_in_is_no_declaration(name: str) -> None:
    assert known_encoding(name) is None


@pytest.mark.parametrize("name", ["utf-8", "gb18030", "big5hkscs", "shift_jis", "euc_kr", "iso2022_jp", "cp1252", "koi8-r"])
def test_encodings_that_pages_are_in_are_known(name: str) -> None:
    assert known_encoding(name.upper()) == codecs.lookup(name).name
