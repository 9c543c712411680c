"""What every LexicalIndex does. A new implementation adds its name to IMPLEMENTATIONS and a branch to `open_index`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from apps.retrieval.indexes.elastic_lexical import ElasticLexicalIndex
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from core.protocols import LexicalIndex
from core.types import EntryKind, Facts, Filters, IndexEntry, IndexState, Scope
from tests.elastic import elastic_connection
from tests.facts import filters, some_facts

IMPLEMENTATIONS = ["embedded", "elastic"]
KB = Scope(kb_ids=(1,))

Open = Callable[[], LexicalIndex]


@pytest.fixture(params=IMPLEMENTATIONS)
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the index as one more process would: every call gives an instance of its own on the same data."""
    if request.param == "embedded":
        yield lambda: EmbeddedLexicalIndex(EntryKind.FAQ, folder=tmp_path)
        return
    with elastic_connection() as connection:
        yield lambda: ElasticLexicalIndex(EntryKind.FAQ, connection=connection)


@pytest.fixture
def index(open_index: Open) -> LexicalIndex:
    return open_index()


def fill(index: LexicalIndex, texts: dict[int, str], *, kb_id: int = 1, revision: int = 1) -> None:
    with index.exclusive(kb_id):
        if not index.state(kb_id).built_with:
            index.clear(kb_id, "analysis-1")
        index.put(kb_id, [IndexEntry(id=entry_id, text=text) for entry_id, text in texts.items()])
        index.refresh(kb_id, revision)


def found(index: LexicalIndex, text: str, scope: Scope = KB, k: int = 10) -> list[int]:
    return [hit.id for hit in index.search(text, k, scope)]


def test_the_entry_with_more_of_the_words_comes_first(index: LexicalIndex) -> None:
    fill(index, {1: "How do I reset my password?", 2: "How do I change my address?", 3: "Where is the canteen?"})
    assert found(index, "reset password")[0] == 1
    assert 3 not in found(index, "reset password")


def test_chinese_is_found_by_words_in_another_order(index: LexicalIndex) -> None:
    fill(index, {1: "信用卡账单在哪里查询", 2: "如何修改登录密码", 3: "年假有几天"})
    assert found(index, "怎么查询我的信用卡账单")[0] == 1
    assert found(index, "密码忘记了，登录不了")[0] == 2


def test_traditional_wide_and_upper_case_forms_are_the_same_words(index: LexicalIndex) -> None:
    fill(index, {1: "手機銀行怎麼開通", 2: "ＶＰＮ setup"})
    assert found(index, "手机银行开通") == [1]
    assert found(index, "vpn") == [2]


def test_plural_and_inflected_english_words_are_found(index: LexicalIndex) -> None:
    fill(index, {1: "Resetting passwords", 2: "Booking meeting rooms"})
    assert found(index, "password reset") == [1]


def test_scores_fall_and_k_bounds_them(index: LexicalIndex) -> None:
    fill(index, {n: "leave " * (n % 5 + 1) + f"day{n}" for n in range(40)})
    scores = [hit.score for hit in index.search("leave", 7, KB)]
    assert len(scores) == 7
    assert scores == sorted(scores, reverse=True)
    assert index.search("leave", 0, KB) == []


def test_nothing_is_found_before_refresh(open_index: Open) -> None:
    index, other = open_index(), open_index()
    fill(index, {1: "vacation days"})
    with index.exclusive(1):
        index.put(1, [IndexEntry(id=2, text="vacation request")])
        index.delete(1, [1])
        assert found(index, "vacation") == found(other, "vacation") == [1]
        index.refresh(1, 2)
    assert found(index, "vacation") == found(other, "vacation") == [2]


def test_putting_an_id_again_replaces_its_text(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days"})
    fill(index, {1: "parking permit"}, revision=2)
    assert found(index, "vacation") == []
    assert found(index, "parking") == [1]
    assert index.ids(1) == {1}


def test_putting_an_id_twice_before_refresh_keeps_the_later_text(index: LexicalIndex) -> None:
    with index.exclusive(1):
        index.put(1, [IndexEntry(id=1, text="vacation days"), IndexEntry(id=1, text="parking permit")])
        index.refresh(1, 1)
    assert found(index, "vacation") == []
    assert found(index, "parking") == [1]


def test_frequencies_count_the_entries_of_the_scope_that_have_a_term(index: LexicalIndex) -> None:
    fill(index, {1: "年假 年假", 2: "年假", 3: "病假"})
    fill(index, {4: "年假"}, kb_id=2)
    counted = index.frequencies(["年假", "病假", "事假"], KB)
    assert (counted.get("年假"), counted.get("病假"), counted.get("事假", 0)) == (2, 1, 0)
    assert index.frequencies(["年假"], Scope(kb_ids=(1, 2, 3))) == {"年假": 3}
    assert index.frequencies([], KB) == {}


def test_deleted_entries_are_not_found_and_unknown_ids_are_fine(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days", 2: "vacation request"})
    with index.exclusive(1):
        index.delete(1, [1, 99])
        index.refresh(1, 2)
    assert found(index, "vacation") == [2]
    assert index.ids(1) == {2}


def test_a_search_sees_only_its_scope(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days"}, kb_id=1)
    fill(index, {2: "vacation request"}, kb_id=2)
    assert found(index, "vacation", Scope(kb_ids=(2,))) == [2]
    assert set(found(index, "vacation", Scope(kb_ids=(1, 2)))) == {1, 2}
    assert found(index, "vacation", Scope(kb_ids=())) == []


def test_a_knowledge_base_without_an_index_finds_nothing(index: LexicalIndex) -> None:
    assert found(index, "vacation", Scope(kb_ids=(7,))) == []
    assert index.state(7) == IndexState(revision=0, built_with="")
    assert index.ids(7) == set()


def test_state_tells_revision_and_what_it_was_built_with_after_a_restart(open_index: Open) -> None:
    fill(open_index(), {1: "vacation days"}, revision=5)
    again = open_index()
    assert again.state(1) == IndexState(revision=5, built_with="analysis-1")
    assert found(again, "vacation") == [1]


def test_clear_empties_and_starts_at_revision_0(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days"}, revision=5)
    with index.exclusive(1):
        index.clear(1, "analysis-2")
    assert index.state(1) == IndexState(revision=0, built_with="analysis-2")
    assert found(index, "vacation") == []
    fill(index, {2: "vacation request"}, revision=6)
    assert found(index, "vacation") == [2]


def test_a_refresh_without_changes_moves_the_revision(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days"}, revision=1)
    with index.exclusive(1):
        index.refresh(1, 9)
    assert index.state(1).revision == 9
    assert found(index, "vacation") == [1]


def test_work_that_fails_before_refresh_leaves_no_trace(open_index: Open) -> None:
    index = open_index()
    fill(index, {1: "vacation days"})
    with pytest.raises(ZeroDivisionError), index.exclusive(1):
        index.put(1, [IndexEntry(id=2, text="vacation request")])
        raise ZeroDivisionError
    fill(index, {3: "vacation form"}, revision=2)
    assert index.ids(1) == {1, 3}


def test_two_instances_see_each_others_changes(open_index: Open) -> None:
    first, second = open_index(), open_index()
    fill(first, {1: "vacation days"})
    assert found(second, "vacation") == [1]
    fill(second, {2: "vacation request"}, revision=2)
    assert set(found(first, "vacation")) == {1, 2}
    assert first.state(1).revision == 2


@pytest.mark.parametrize(
    "text", ["", "   ", "?!。，", '"a AND (b', "title:x^2 -y +z*", "\x00\ud800", "😀😀", "密码" * 5000, "word " * 2000]
)
def test_no_text_breaks_a_search(index: LexicalIndex, text: str) -> None:
    fill(index, {1: "vacation days"})
    assert index.search(text, 5, KB) == []


FACTS = some_facts(80)
over_one_index = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def filtered_index(index: LexicalIndex) -> LexicalIndex:
    """Entry n has `FACTS[n]`; all have the word `leave`."""
    entries = [IndexEntry(id=n, text=f"leave rule{n} " + "leave " * (n % 5), facts=facts) for n, facts in enumerate(FACTS)]
    with index.exclusive(1):
        index.put(1, entries[:50])
        index.refresh(1, 1)
        index.put(1, entries[50:])
        index.refresh(1, 2)
    return index


@over_one_index
@given(filters=filters())
def test_a_filter_lets_through_what_it_admits_and_changes_no_score(filtered_index: LexicalIndex, filters: Filters) -> None:
    for search in (filtered_index.search, filtered_index.search_normalized):
        hits = search("leave", 100, KB)
        assert search("leave", 100, KB, filters) == [hit for hit in hits if filters.admits(FACTS[hit.id])]


def test_a_narrow_filter_finds_what_ranks_behind_everything_else(index: LexicalIndex) -> None:
    rare = IndexEntry(id=1000, text="leave " + "other words " * 30, facts=Facts(terms=("tag=rare",), day=5))
    with index.exclusive(1):
        index.put(1, [rare, *(IndexEntry(id=n, text="leave", facts=Facts(day=4)) for n in range(300))])
        index.refresh(1, 1)
    for narrow in (Filters(any_of=(frozenset({"tag=rare"}),)), Filters(since_day=5)):
        assert [hit.id for hit in index.search("leave", 3, KB, narrow)] == [1000]


def test_a_filter_finds_nothing_without_a_word_of_the_text(filtered_index: LexicalIndex) -> None:
    assert filtered_index.search("parking", 10, KB, Filters(since_day=1)) == []


def test_putting_an_id_again_replaces_its_facts(index: LexicalIndex) -> None:
    old, new = Filters(any_of=(frozenset({"tag=old"}),)), Filters(any_of=(frozenset({"tag=new"}),))
    with index.exclusive(1):
        index.put(1, [IndexEntry(id=1, text="leave", facts=Facts(terms=("tag=old",)))])
        index.refresh(1, 1)
        index.put(1, [IndexEntry(id=1, text="leave", facts=Facts(terms=("tag=new",)))])
        index.refresh(1, 2)
    assert (index.search("leave", 5, KB, old), [hit.id for hit in index.search("leave", 5, KB, new)]) == ([], [1])


KILLED = """
import os, sys
from pathlib import Path
from apps.retrieval.indexes.elastic_lexical import ElasticLexicalIndex
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from core.types import EntryKind, IndexEntry
index = EmbeddedLexicalIndex(EntryKind.FAQ, folder=Path(sys.argv[1]))
with index.exclusive(1):
    index.clear(1, "analysis-1")
    index.put(1, [IndexEntry(id=1, text="vacation days")])
    index.refresh(1, 1)
    index.put(1, [IndexEntry(id=2, text="vacation request")])
    os._exit(9)
"""


def test_a_process_killed_between_put_and_refresh_loses_only_what_was_not_refreshed(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    assert run.returncode == 9
    index = EmbeddedLexicalIndex(EntryKind.FAQ, folder=tmp_path)
    assert (index.ids(1), index.state(1).revision) == ({1}, 1)
    fill(index, {2: "vacation request"}, revision=2)
    assert index.ids(1) == {1, 2}


def test_what_the_terms_add_makes_up_the_score(index: LexicalIndex) -> None:
    fill(index, {1: "How do I reset my password?", 2: "How do I change my address?", 3: "Where is the canteen?"})
    parts = index.term_scores("reset the password of the canteen", 1, [1, 2, 3, 99])
    scores = {hit.id: hit.score for hit in index.search("reset the password of the canteen", 10, KB)}
    assert set(parts) == set(scores) == {1, 3}
    assert set(parts[1]) == {"reset", "password"}
    assert {id: sum(terms.values()) for id, terms in parts.items()} == pytest.approx(scores, rel=1e-4)
    assert index.term_scores("", 1, [1]) == index.term_scores("reset", 1, []) == index.term_scores("reset", 7, [1]) == {}


def build_aside(index: LexicalIndex, texts: dict[int, str], *, revision: int) -> None:
    with index.building(1, "analysis-2") as build:
        build.put(1, [IndexEntry(id=entry_id, text=text) for entry_id, text in texts.items()])
        build.refresh(1, revision)
        build.settle()
        with index.exclusive(1):
            build.switch()


def test_a_new_index_is_filled_aside_and_seen_at_the_switch_by_everybody(open_index: Open) -> None:
    index, other = open_index(), open_index()
    fill(index, {1: "vacation days", 2: "vacation request"})
    with index.building(1, "analysis-2") as build:
        build.put(1, [IndexEntry(id=3, text="vacation form"), IndexEntry(id=4, text="vacation rules")])
        build.refresh(1, 2)
        assert build.revision == 2
        assert found(index, "vacation") == found(other, "vacation") == [1, 2]
        build.delete(1, [4])
        build.refresh(1, 3)
        with index.exclusive(1):
            build.switch()
        assert found(index, "vacation") == found(other, "vacation") == [3]
    assert index.state(1) == other.state(1) == IndexState(revision=3, built_with="analysis-2")
    assert index.ids(1) == {3}


def test_the_index_of_before_is_followed_while_another_is_built(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days"})
    with index.building(1, "analysis-2") as build:
        build.put(1, [IndexEntry(id=1, text="vacation days")])
        fill(index, {2: "vacation request"}, revision=2)
        assert set(found(index, "vacation")) == {1, 2}
        build.put(1, [IndexEntry(id=2, text="vacation request")])
        build.refresh(1, 2)
        with index.exclusive(1):
            build.switch()
    fill(index, {3: "vacation form"}, revision=3)
    assert set(found(index, "vacation")) == {1, 2, 3}


def test_a_build_that_fails_leaves_what_was_there(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days"}, revision=5)
    with pytest.raises(ZeroDivisionError), index.building(1, "analysis-2") as build:
        build.put(1, [IndexEntry(id=2, text="vacation request")])
        build.refresh(1, 6)
        raise ZeroDivisionError
    assert index.state(1) == IndexState(revision=5, built_with="analysis-1")
    assert index.ids(1) == {1}
    build_aside(index, {3: "vacation form"}, revision=6)
    assert index.ids(1) == {3}


def test_a_build_without_entries_takes_the_place_too(index: LexicalIndex) -> None:
    fill(index, {1: "vacation days"})
    build_aside(index, {}, revision=2)
    assert found(index, "vacation") == []
    assert index.state(1) == IndexState(revision=2, built_with="analysis-2")
    fill(index, {2: "vacation request"}, revision=3)
    assert found(index, "vacation") == [2]


def test_a_first_index_may_be_built_aside(index: LexicalIndex) -> None:
    build_aside(index, {1: "vacation days"}, revision=4)
    assert (found(index, "vacation"), index.state(1).revision) == ([1], 4)


def test_whoever_switches_must_keep_others_from_following(index: LexicalIndex) -> None:
    with index.building(1, "analysis-2") as build, pytest.raises(RuntimeError, match="exclusive"):
        build.switch()


def test_sweeping_leaves_a_build_that_is_under_way(open_index: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.retrieval.indexes.elastic_following.SWEEP_WAIT_S", 0.1)
    index, other = open_index(), open_index()
    with index.building(1, "analysis-1") as build:
        build.put(1, [IndexEntry(id=1, text="vacation days")])
        build.refresh(1, 1)
        other.sweep(1)
        build.put(1, [IndexEntry(id=2, text="vacation request")])
        build.refresh(1, 2)
        with index.exclusive(1):
            build.switch()
    assert index.ids(1) == {1, 2}
