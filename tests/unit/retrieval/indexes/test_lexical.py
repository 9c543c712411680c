"""Normalised scores, damage and open files of the embedded lexical index."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tantivy

from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from core.errors import IndexMismatch
from core.types import Facts, Filters, IndexEntry, Scope

KB = Scope(kb_ids=(1,))


def filled(folder: Path, texts: list[str], *, kb_id: int = 1, max_open: int = 64) -> EmbeddedLexicalIndex:
    index = EmbeddedLexicalIndex(folder=folder, max_open=max_open)
    put(index, texts, kb_id=kb_id)
    return index


def put(index: EmbeddedLexicalIndex, texts: list[str], *, kb_id: int = 1) -> None:
    with index.exclusive(kb_id):
        index.clear(kb_id, "a")
        index.put(kb_id, [IndexEntry(id=kb_id * 1000 + n, text=text) for n, text in enumerate(texts)])
        index.refresh(kb_id, 1)


@pytest.mark.parametrize("others", [0, 1, 500])
def test_the_text_itself_scores_one_in_a_knowledge_base_of_any_size(tmp_path: Path, others: int) -> None:
    index = filled(tmp_path, ["reset password today", *(f"parking lot number{n}" for n in range(others))])
    (hit,) = index.search_normalized("reset password today", 1, KB)
    assert hit.id == 1000
    assert hit.score == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("others", [0, 1, 500])
def test_one_shared_word_of_three_stays_far_below_one(tmp_path: Path, others: int) -> None:
    index = filled(tmp_path, ["reset password today", *(f"parking lot number{n}" for n in range(others))])
    (hit,) = index.search_normalized("reset coffee machine", 1, KB)
    assert 0.1 < hit.score < 0.5


def test_a_half_match_weighs_about_the_same_in_two_entries_and_in_five_hundred(tmp_path: Path) -> None:
    scores = []
    for size in (2, 500):
        index = filled(tmp_path / str(size), ["reset password", *(f"parking lot number{n}" for n in range(size - 1))])
        scores.append(index.search_normalized("reset password gizmo widget", 1, KB)[0].score)
    assert scores[0] == pytest.approx(scores[1], abs=0.15)


def test_normalised_hits_of_a_small_and_a_large_knowledge_base_compare(tmp_path: Path) -> None:
    index = filled(tmp_path, ["reset password now"], kb_id=1)
    put(index, ["reset printer", *(f"parking lot number{n}" for n in range(300))], kb_id=2)
    both = Scope(kb_ids=(1, 2))
    assert index.search("reset password now", 1, both)[0].id == 2000  # BM25 of a rare word in many entries
    assert index.search_normalized("reset password now", 1, both)[0].id == 1000


def test_a_text_without_words_and_a_base_without_an_index_find_nothing(tmp_path: Path) -> None:
    index = filled(tmp_path, ["reset password"])
    assert index.search_normalized("", 5, KB) == []
    assert index.search_normalized("password", 5, Scope(kb_ids=(5,))) == []


@pytest.mark.parametrize("harm", ["state", "part", "segment"])
def test_damage_is_named_with_its_repair_and_clear_mends_it(tmp_path: Path, harm: str) -> None:
    filled(tmp_path, ["reset password"])
    home = tmp_path / "faq" / "1" / "lexical"
    if harm == "state":
        (home / "state.json").write_bytes(b"{")
    else:
        for path in home.glob("part-*/*" if harm == "part" else "part-*/*.term"):
            path.write_bytes(b"xx")
    index = EmbeddedLexicalIndex(folder=tmp_path)
    with pytest.raises(IndexMismatch, match="manage.py reindex"):
        index.search("password", 5, KB)
    put(index, ["reset password"])
    assert [hit.id for hit in index.search("password", 5, KB)] == [1000]


def parts(folder: Path) -> int:
    return len(list((folder / "faq" / "1" / "lexical").glob("part-*")))


@pytest.mark.parametrize("harm", ["state", "part"])
def test_a_build_mends_damage(tmp_path: Path, harm: str) -> None:
    filled(tmp_path, ["reset password"])
    for path in (tmp_path / "faq" / "1" / "lexical").glob("state.json" if harm == "state" else "part-*/*"):
        path.write_bytes(b"{")
    index = EmbeddedLexicalIndex(folder=tmp_path)
    with index.building(1, "b") as build:
        build.put(1, [IndexEntry(id=7, text="reset password")])
        build.refresh(1, 2)
        with index.exclusive(1):
            build.switch()
    assert [hit.id for hit in index.search("password", 5, KB)] == [7]
    assert parts(tmp_path) == 1


BUILD_KILLED = """
import os, sys
from pathlib import Path
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from core.types import IndexEntry
with EmbeddedLexicalIndex(folder=Path(sys.argv[1])).building(1, "b") as build:
    build.put(1, [IndexEntry(id=7, text="reset password")])
    build.refresh(1, 2)
    os._exit(9)
"""


@pytest.mark.parametrize("mend", ["sweep", "build", "clear"])
def test_a_killed_build_leaves_the_old_index_answering_and_nothing_for_ever(tmp_path: Path, mend: str) -> None:
    index = filled(tmp_path, ["reset password"])
    assert subprocess.run([sys.executable, "-c", BUILD_KILLED, str(tmp_path)], timeout=60, check=False).returncode == 9
    assert ([hit.id for hit in index.search("password", 5, KB)], parts(tmp_path)) == ([1000], 2)
    if mend == "sweep":
        index.sweep(1)
    elif mend == "clear":
        index.clear(1, "c")
    else:
        with index.building(1, "b"):
            assert parts(tmp_path) == 2
    assert parts(tmp_path) == 1


def test_an_index_with_other_fields_counts_as_none_and_is_begun_anew(tmp_path: Path) -> None:
    fields = tantivy.SchemaBuilder()
    fields.add_integer_field("id", indexed=True, fast=True)
    fields.add_text_field("terms", tokenizer_name="words")
    filled(tmp_path, ["reset password"])
    (part,) = (tmp_path / "faq" / "1" / "lexical").glob("part-*")
    shutil.rmtree(part)
    part.mkdir()
    tantivy.Index(fields.build(), path=str(part))
    index = EmbeddedLexicalIndex(folder=tmp_path)
    assert (index.search("password", 5, KB), index.ids(1), index.state(1).revision) == ([], set(), 0)
    put(index, ["reset password"])
    assert [hit.id for hit in index.search("password", 5, KB)] == [1000]


def test_open_indexes_are_bounded_and_open_again(tmp_path: Path) -> None:
    index = filled(tmp_path, ["reset password"], max_open=2)
    for kb_id in (2, 3, 4):
        put(index, ["reset password"], kb_id=kb_id)
    assert len(index.search("password", 10, Scope(kb_ids=(1, 2, 3, 4)))) == 4
    assert len(index._readers) == 2


def test_a_search_looks_once_whether_the_files_have_moved_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, looks = filled(tmp_path, ["reset password"]), []
    monkeypatch.setattr(index._readers, "stamp", lambda kb_id, look=index._readers.stamp: looks.append(kb_id) or look(kb_id))
    for search in (index.search, index.search_normalized):
        assert search("reset password", 1, KB)
    assert looks == [1, 1]


def test_changes_outside_exclusive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exclusive"):
        EmbeddedLexicalIndex(folder=tmp_path).put(1, [IndexEntry(id=1, text="a")])


def test_many_small_changes_leave_few_segments(tmp_path: Path) -> None:
    index = filled(tmp_path, ["reset password"])
    for n in range(30):
        with index.exclusive(1):
            index.put(1, [IndexEntry(id=n, text=f"note number{n}")])
            index.refresh(1, n + 2)
    reader = index._readers.latest(1)
    assert reader is not None
    assert reader.searcher.num_segments < 15
    assert len(index.ids(1)) == 31


def test_a_filter_that_every_entry_passed_bites_from_the_first_entry_on_that_does_not(tmp_path: Path) -> None:
    index, everyone = EmbeddedLexicalIndex(folder=tmp_path), Filters(any_of=(frozenset({"access=*"}),))
    for number, access in enumerate(("access=*", "access=*", "access=board")):
        with index.exclusive(1):
            index.put(1, [IndexEntry(id=number, text="yearly budget", facts=Facts(terms=(access,)))])
            index.refresh(1, number + 1)
        assert {hit.id for hit in index.search("budget", 5, KB, everyone)} == {0, 1} & set(range(number + 1))
    with index.exclusive(1):
        index.delete(1, [2])
        index.refresh(1, 4)
    assert {hit.id for hit in index.search("budget", 5, KB, everyone)} == {0, 1}
