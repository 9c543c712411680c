"""Other ways to ask a question, worked out from words, rules and what an index holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.retrieval.indexes.analysis import analyze, fold
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from apps.retrieval.query_layer.layer import Layer, Variant, make_layer, variants
from apps.retrieval.query_layer.matching import WordMatcher
from apps.retrieval.query_layer.numbers import characters_of, number_forms, value_of
from apps.retrieval.query_layer.rules import SynonymRule, lines_of_table, parse_synonyms, parse_words
from apps.retrieval.query_layer.typos import corrected
from core.errors import InvalidRequest
from core.types import IndexEntry, Scope

KB = Scope(kb_ids=(1,))
TEXTS = ["年假有多少天", "如何开具发票", "支付宝怎么开通", "登录密码忘记了怎么办", "报销需要哪些材料", "账户余额不足", "请假十五天怎么申请"]
CLEAN = ["年假多少天", "怎么开具发票", "登录密码忘记了", "支付宝怎么开通", "报销需要材料", "余额不足怎么办", "how to reset", ""]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedLexicalIndex:
    made = EmbeddedLexicalIndex(folder=tmp_path_factory.mktemp("index"))
    put(made, TEXTS)
    return made


def put(index: EmbeddedLexicalIndex, texts: list[str]) -> None:
    with index.exclusive(1):
        index.clear(1, "a")
        index.put(1, [IndexEntry(id=n, text=text) for n, text in enumerate(texts)])
        index.refresh(1, 1)


def asked(text: str, index: EmbeddedLexicalIndex, layer: Layer | None = None) -> list[str]:
    return [variant.text for variant in variants(text, layer or make_layer(), index, KB)]


# Rules


def test_words_are_folded_and_each_is_taken_once() -> None:
    assert parse_words("隨身行\n随身行\n# a note\n\n ＶＰＮ客户端 ") == ("随身行", "vpn客户端")


def test_rules_work_both_ways_or_one_way() -> None:
    both, one = parse_synonyms("报销，请款、費用報銷\nOA => 办公系统, 协同办公")
    assert both.terms == both.others == ("报销", "请款", "费用报销")
    assert one == SynonymRule(terms=("oa",), others=("办公系统", "协同办公"))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("报销, 请款\n报销", "Line 2 needs two words"),
        ("a1 => b1 => c1", "Line 1 has more than one arrow"),
        ("报销 =>", "Line 1 needs two words"),
        ("报销, ！！", "Line 1 has no letter"),
        ("天, 日", "single character"),
        ("报销, " + "长" * 61, "longer than 60"),
        (", ".join(f"词语{n}" for n in range(21)), "more than 20 words"),
    ],
)
def test_a_line_that_is_no_rule_is_named(rules: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse_synonyms(rules)


def test_the_cells_of_a_table_are_lines_of_words_or_rules() -> None:
    assert parse_words(lines_of_table("随身行\r\n云盘,\r\n")) == ("随身行", "云盘")[:1] + parse_words("云盘")
    assert parse_synonyms(lines_of_table('报销,"请款"\r\n'))[0].terms == ("报销", "请款")


def test_the_longest_word_counts_and_not_within_longer_latin_words() -> None:
    found = WordMatcher(["年假", "年假天数", "oa"])
    assert list(found.find("年假天数和年假")) == [(0, "年假天数"), (5, "年假")]
    assert list(found.find("oa board 上oa系统")) == [(0, "oa"), (10, "oa")]


# Numbers


@given(st.integers(0, 99_999_999))
def test_a_number_written_in_characters_is_read_back(value: int) -> None:
    assert value_of(characters_of(value)) == value


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("十五天年假", "15天年假"),
        ("15天年假", "十五天年假"),
        ("两千零五元", "2005元"),
        ("2024-03-05的会议", "2024年3月5日的会议"),
        ("2024年3月5日的会议", "2024-03-05的会议"),
        ("二〇二四年三月五日", "2024-03-05"),
    ],
)
def test_numbers_and_dates_have_other_forms(text: str, form: str) -> None:
    assert form in number_forms(text)


@pytest.mark.parametrize(
    "text", ["一般怎么办", "哪一个城市", "一个人", "第三章", "三思而行", "万一", "2024年", "1.5倍", "十百天", "iphone 15", "13800138000"]
)
def test_what_is_no_number_of_things_stays(text: str) -> None:
    assert number_forms(text) == []


# Typing errors


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("年架多少天", "年假多少天"),
        ("怎么开具发漂", "怎么开具发票"),
        ("如何开具法飘", "如何开具发票"),
        ("登陆密码忘记了", "登录密码忘记了"),
        ("只付宝怎么开通", "支付宝怎么开通"),
        ("zhifubao怎么开通", "支付宝怎么开通"),
        ("fapiao", "发票"),
    ],
)
def test_a_word_of_the_same_sound_is_what_was_meant(index: EmbeddedLexicalIndex, typed: str, meant: str) -> None:
    assert corrected(typed, lambda terms: index.frequencies(terms, KB)) == meant


@pytest.mark.parametrize("text", [*CLEAN, "如何是好", "vpn", "windows", "hello world", "的" * 100])
def test_nothing_is_corrected_without_a_word_that_fits_better(index: EmbeddedLexicalIndex, text: str) -> None:
    assert corrected(text, lambda terms: index.frequencies(terms, KB)) is None


def test_a_word_of_the_base_can_be_what_was_meant(tmp_path: Path) -> None:
    index = EmbeddedLexicalIndex(folder=tmp_path)
    put(index, ["云陆怎么用", "匀陆怎么用"])
    assert corrected("晕陆", lambda terms: index.frequencies(terms, KB)) is None
    assert corrected("晕陆", lambda terms: index.frequencies(terms, KB), {"云陆"}) == "云陆"


# Variants


@pytest.mark.parametrize("text", CLEAN)
def test_a_question_of_known_words_is_asked_as_it_is_and_no_other_way(index: EmbeddedLexicalIndex, text: str) -> None:
    layer = make_layer(rules=parse_synonyms("工资, 薪水"), words=["问路"])
    assert variants(text, layer, index, KB) == [Variant(text=text, weight=1.0)]


@settings(deadline=None)
@given(st.text(max_size=60))
def test_whatever_is_asked_comes_first_with_full_weight_and_its_own_terms(text: str) -> None:
    layer = make_layer(rules=parse_synonyms("天数, 日数\nab => cd"), words=["年假"], corrects_typos=False)
    first, *others = variants(text, layer, EmbeddedLexicalIndex(folder=Path("unused")), KB)
    assert first.weight == 1.0
    assert analyze(first.text)[: len(analyze(text))] == analyze(text)
    assert all(other.weight < 1.0 for other in others)


def test_synonyms_replace_the_word_and_leave_the_rest(index: EmbeddedLexicalIndex) -> None:
    layer = make_layer(rules=parse_synonyms("请款, 报销\noa => 办公系统"))
    assert asked("请款需要哪些材料", index, layer) == ["请款需要哪些材料", "报销需要哪些材料"]
    assert asked("登录OA", index, layer) == ["登录OA", "登录办公系统"]
    assert asked("登录办公系统", index, layer) == ["登录办公系统"]


def test_traditional_and_wide_questions_meet_the_same_rules(index: EmbeddedLexicalIndex) -> None:
    layer = make_layer(rules=parse_synonyms("费用报销, 请款"))
    assert fold("請款") in fold(asked("費用報銷", index, layer)[1])


def test_a_part_that_is_off_does_nothing(index: EmbeddedLexicalIndex) -> None:
    assert asked("年架15天", index, make_layer(corrects_typos=False, reads_numbers=False)) == ["年架15天"]


def test_a_word_of_the_base_is_one_term_of_questions_and_entries_that_hold_it() -> None:
    layer = make_layer(words=["随身行"], corrects_typos=False)
    (mark,) = set(layer.marks("随身行怎么用").split()) & set(layer.marks("我的隨身行").split())
    assert analyze(mark) == [mark]
    assert layer.marks("随身带着行李") == ""
