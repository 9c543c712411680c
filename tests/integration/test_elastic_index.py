"""What do the indexes in Elasticsearch promise beyond the contract? Same scores as embedded, safe among processes, self-healing."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from apps.retrieval.indexes.elastic_connection import ElasticConnection
from apps.retrieval.indexes.elastic_lease import Lease
from apps.retrieval.indexes.elastic_lexical import ElasticLexicalIndex
from apps.retrieval.indexes.elastic_vector import ElasticVectorIndex
from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from core.errors import SearchUnavailable
from core.protocols import LexicalIndex
from core.types import EntryKind, Facts, Filters, Hit, IndexEntry, IndexState, Scope
from tests.elastic import elastic_connection

KB = Scope(kb_ids=(1,))
WORDS = ["年假", "报销", "密码", "差旅", "申请", "流程", "password", "reset", "travel", "leave", "expense", "form", "2024", "VPN"]


@pytest.fixture
def connection() -> Iterator[ElasticConnection]:
    with elastic_connection() as connection:
        yield connection


def indexes_of(connection: ElasticConnection) -> list[str]:
    found = connection.patient(lambda client: client.indices.get(index=f"{connection.prefix}-*", features=["aliases"]))
    return sorted(name for name in found if not name.endswith("-state"))


def texts(count: int, *, seed: int = 3) -> dict[int, str]:
    source = random.Random(seed)
    return {n: " ".join(source.choices(WORDS, k=source.randrange(1, 60))) for n in range(1, count + 1)}


def fill(index: LexicalIndex, rows: dict[int, str], *, revision: int = 1, kb_id: int = 1) -> None:
    with index.exclusive(kb_id):
        if not index.state(kb_id).built_with:
            index.clear(kb_id, "a")
        index.put(kb_id, [IndexEntry(id=id, text=text) for id, text in rows.items()])
        index.refresh(kb_id, revision)


def test_scores_are_those_of_the_embedded_index(connection: ElasticConnection, tmp_path: Path) -> None:
    elastic, embedded = ElasticLexicalIndex(connection=connection), EmbeddedLexicalIndex(folder=tmp_path)
    for index in (elastic, embedded):
        fill(index, texts(300))
        fill(index, texts(40, seed=4), kb_id=2)
    both = Scope(kb_ids=(1, 2))
    for query in ("年假申请流程", "reset my VPN password", "unknown words 报销", " ".join(f"x{n}" for n in range(100)) + " leave form"):
        for one, other in ((elastic.search, embedded.search), (elastic.search_normalized, embedded.search_normalized)):
            assert rounded(one(query, 500, both)) == rounded(other(query, 500, both))


def rounded(hits: list[Hit]) -> dict[int, float]:
    return {hit.id: pytest.approx(hit.score, rel=1e-4) for hit in hits}  # type: ignore[misc]


def test_a_kind_without_entries_takes_no_index(connection: ElasticConnection) -> None:
    lexical, vector = ElasticLexicalIndex(connection=connection), ElasticVectorIndex(connection=connection, exact_max=10)
    for index in (lexical, vector):
        with index.exclusive(1):
            index.clear(1, "a")
            index.delete(1, [4])
            index.refresh(1, 7)
    assert (lexical.state(1), indexes_of(connection)) == (IndexState(revision=7, built_with="a"), [])


def test_an_index_that_was_dropped_is_built_anew_from_where_it_was_empty(connection: ElasticConnection) -> None:
    index = ElasticLexicalIndex(connection=connection)
    fill(index, {1: "vacation days"}, revision=5)
    connection.patient(lambda client: client.indices.delete(index=indexes_of(connection)))
    assert index.state(1) == IndexState(revision=0, built_with="a")
    fill(index, {1: "vacation days"}, revision=6)
    assert [hit.id for hit in index.search("vacation", 5, KB)] == [1]


def test_a_new_generation_gets_the_alias_last_and_what_was_left_half_filled_goes(connection: ElasticConnection) -> None:
    index = ElasticLexicalIndex(connection=connection)
    with index.exclusive(1):
        index.clear(1, "a")
        left = index.create(1, {})
    fill(index, {1: "vacation days"}, revision=2)
    index.sweep(1)
    (only,) = indexes_of(connection)
    assert only != left
    assert only.startswith(f"{index.alias(1)}-")
    fill(index, {2: "vacation form"}, revision=3)
    assert indexes_of(connection) == [only]
    with index.exclusive(1):
        index.clear(1, "b")
    assert indexes_of(connection) == []


def test_ids_come_in_pages(connection: ElasticConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.retrieval.indexes.elastic_ids.PAGE", 7)
    index = ElasticLexicalIndex(connection=connection)
    fill(index, texts(30))
    assert index.ids(1) == set(range(1, 31))


def test_a_narrow_filter_loses_no_recall_in_a_graph(connection: ElasticConnection) -> None:
    index, rows = ElasticVectorIndex(connection=connection, exact_max=10), unit_rows(2000, 16)
    with index.exclusive(1):
        index.clear(1, "a")
        for start in (0, 1000):
            part = range(start, start + 1000)
            index.put(1, part, rows[start : start + 1000], [Facts(day=n % 100) for n in part])
            index.refresh(1, start + 1)
    connection.patient(lambda client: client.indices.forcemerge(index=index.alias(1), max_num_segments=1))
    for query in unit_rows(20, 16, seed=9):
        hits = index.search(query, 10, KB, Filters(since_day=37, until_day=37))
        exact = sorted(range(37, 2000, 100), key=lambda n: -float(rows[n] @ query))[:10]
        assert [hit.id for hit in hits] == exact
        assert [hit.score for hit in hits] == pytest.approx([float(rows[n] @ query) for n in exact], abs=1e-3)


def unit_rows(count: int, dim: int, *, seed: int = 5) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


KILLED = """
import os, sys
from apps.retrieval.indexes.elastic_connection import ElasticConnection, open_client
from apps.retrieval.indexes.elastic_lexical import ElasticLexicalIndex
from core.config import Settings
from core.types import IndexEntry
client = open_client(Settings(elasticsearch_url=sys.argv[1]))
index = ElasticLexicalIndex(connection=ElasticConnection(client, prefix=sys.argv[2], timeout_s=10))
with index.exclusive(1):
    index.clear(1, "a")
    index.put(1, [IndexEntry(id=1, text="vacation days")])
    index.refresh(1, 1)
    index.put(1, [IndexEntry(id=2, text="vacation request")])
    os._exit(9)
"""


def test_a_killed_process_loses_what_was_not_refreshed_and_its_lease_ends(connection: ElasticConnection) -> None:
    url = str(connection.quick(lambda client: next(iter(client.transport.node_pool.all())).base_url))
    assert subprocess.run([sys.executable, "-c", KILLED, url, connection.prefix], timeout=60, check=False).returncode == 9
    index = ElasticLexicalIndex(connection=connection)
    assert (index.ids(1), index.state(1).revision) == ({1}, 1)
    fill(index, {2: "vacation request"}, revision=2)
    assert index.ids(1) == {1, 2}


BUILD_KILLED = KILLED.replace(
    """    index.put(1, [IndexEntry(id=2, text="vacation request")])
    os._exit(9)
""",
    """
with index.building(1, "b") as build:
    build.put(1, [IndexEntry(id=2, text="vacation request")])
    build.refresh(1, 2)
    os._exit(9)
""",
)


@pytest.mark.parametrize("mend", ["sweep", "build"])
def test_a_killed_build_leaves_the_old_index_answering_and_nothing_for_ever(connection: ElasticConnection, mend: str) -> None:
    url = str(connection.quick(lambda client: next(iter(client.transport.node_pool.all())).base_url))
    assert subprocess.run([sys.executable, "-c", BUILD_KILLED, url, connection.prefix], timeout=60, check=False).returncode == 9
    index = ElasticLexicalIndex(connection=connection)
    assert (index.ids(1), index.state(1), len(indexes_of(connection))) == ({1}, IndexState(revision=1, built_with="a"), 2)
    if mend == "sweep":
        index.sweep(1)
    else:
        with index.building(1, "b") as build:
            build.put(1, [IndexEntry(id=3, text="vacation form")])
            build.refresh(1, 2)
            with index.exclusive(1):
                build.switch()
    assert (len(indexes_of(connection)), index.ids(1)) == (1, {1} if mend == "sweep" else {3})


KEPT_KILLED = """
import os, sys
import numpy as np
from apps.retrieval.indexes.elastic_connection import ElasticConnection, open_client
from apps.retrieval.indexes.elastic_vector import ElasticVectorIndex
from core.config import Settings
client = open_client(Settings(elasticsearch_url=sys.argv[1]))
index = ElasticVectorIndex(connection=ElasticConnection(client, prefix=sys.argv[2], timeout_s=10), exact_max=10)
with index.building(1, "a", no_later_than=9) as build:
    build.delete(1, [1])
    build.put(1, [3], np.eye(1, 4, dtype=np.float32))
    build.refresh(1, 5)
    os._exit(9)
"""


def build_vectors(connection: ElasticConnection, built_with: str, *ids: int, revision: int, no_later_than: int = 0) -> int:
    """Builds an index of these entries and switches to it; the revision at which it began."""
    index = ElasticVectorIndex(connection=connection, exact_max=10)
    with index.building(1, built_with, no_later_than=no_later_than) as build:
        began = build.revision
        build.put(1, ids, unit_rows(len(ids), 4))
        build.refresh(1, revision)
        with index.exclusive(1):
            build.switch()
    return began


def test_a_kill_while_the_kept_index_is_taken_up_leaves_it_kept_at_its_revision(connection: ElasticConnection) -> None:
    build_vectors(connection, "a", 1, 2, revision=3)
    build_vectors(connection, "b", 1, 2, revision=4)
    url, both = str(connection.quick(lambda client: next(iter(client.transport.node_pool.all())).base_url)), indexes_of(connection)
    assert subprocess.run([sys.executable, "-c", KEPT_KILLED, url, connection.prefix], timeout=60, check=False).returncode == 9
    index = ElasticVectorIndex(connection=connection, exact_max=10)
    assert (index.state(1), index.ids(1)) == (IndexState(revision=4, built_with="b"), {1, 2})
    index.sweep(1, lambda tag: tag == "a")
    assert indexes_of(connection) == both
    assert build_vectors(connection, "a", 1, 4, revision=6, no_later_than=6) == 3
    assert (index.state(1), index.ids(1), indexes_of(connection)) == (IndexState(revision=6, built_with="a"), {1, 2, 3, 4}, both)


def test_only_the_generation_before_is_kept_and_taken_up_only_where_it_fits(connection: ElasticConnection) -> None:
    for revision, built_with in enumerate("abc", start=1):
        build_vectors(connection, built_with, revision, revision=revision)
    assert len(indexes_of(connection)) == 2
    assert build_vectors(connection, "c", 3, revision=3, no_later_than=3) == 0  # a repair: the same generation, so "b" stays kept
    assert build_vectors(connection, "a", 1, revision=4, no_later_than=4) == 0
    assert len(indexes_of(connection)) == 2
    assert build_vectors(connection, "c", 3, revision=5, no_later_than=2) == 0  # the database is behind what was kept
    assert build_vectors(connection, "a", 1, revision=6) == 0
    assert build_vectors(connection, "c", 3, revision=7, no_later_than=7) == 5


def test_an_index_that_is_emptied_keeps_nothing(connection: ElasticConnection) -> None:
    for built_with in "ab":
        build_vectors(connection, built_with, 1, revision=1)
    index = ElasticVectorIndex(connection=connection, exact_max=10)
    with index.exclusive(1):
        index.clear(1, "gone")
    index.sweep(1, lambda _: True)
    assert indexes_of(connection) == []


def test_a_build_sends_as_it_goes_and_holds_no_more_than_a_request(connection: ElasticConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.retrieval.indexes.elastic_build.MAX_ACTIONS", 7)
    index = ElasticLexicalIndex(connection=connection)
    with index.building(1, "a") as build:
        for start in range(1, 31, 3):
            build.put(1, [IndexEntry(id=id, text=f"leave {id}") for id in range(start, start + 3)])
            assert len(build.held.waiting) < 7
        build.refresh(1, 1)
        with index.exclusive(1):
            build.switch()
    assert index.ids(1) == set(range(1, 31))


def lease(connection: ElasticConnection, *, lease_s: float = 0.5, wait_s: float = 5.0) -> Lease:
    return Lease(connection, f"{connection.prefix}-state", "x", lease_s=lease_s, wait_s=wait_s)


def test_one_process_at_a_time_changes_an_index(connection: ElasticConnection) -> None:
    first, second, order = lease(connection, lease_s=2.0), lease(connection, lease_s=2.0, wait_s=20), list[str]()

    def enter() -> None:
        with second:
            order.append("second")

    with first, first:
        waiting = threading.Thread(target=enter)
        waiting.start()
        waiting.join(2.5)  # longer than the lease: it is renewed meanwhile
        first.check()
        order.append("first")
    waiting.join(20)
    assert order == ["first", "second"]


def test_whoever_waits_for_too_long_is_told_so(connection: ElasticConnection) -> None:
    with (
        lease(connection, lease_s=30),
        pytest.raises(SearchUnavailable, match="Another process"),
        lease(connection, lease_s=30, wait_s=0.1),
    ):
        pass


def test_a_lease_that_nobody_renews_is_taken_over_and_its_holder_hears_of_it(connection: ElasticConnection) -> None:
    stopped, other = lease(connection), lease(connection)
    with stopped:
        stopped._timer.cancel()  # type: ignore[union-attr]
        with other:
            other.check()
            with pytest.raises(SearchUnavailable, match="taken over"):
                stopped.check()


def test_a_limit_of_the_cluster_is_said_in_its_own_words(connection: ElasticConnection) -> None:
    index = ElasticLexicalIndex(connection=connection)
    index.extra_settings = {**index.extra_settings, "number_of_shards": 1_001}
    with pytest.raises(SearchUnavailable, match="maximum normal shards"):
        fill(index, {1: "vacation days"})
    assert index.state(1) == IndexState(revision=0, built_with="a")


def test_other_kinds_and_parts_have_indexes_of_their_own(connection: ElasticConnection) -> None:
    faqs, passages = (
        ElasticLexicalIndex(EntryKind.FAQ, connection=connection),
        ElasticLexicalIndex(EntryKind.PASSAGE, connection=connection),
    )
    fill(faqs, {1: "vacation days"})
    fill(passages, {2: "vacation form"})
    assert ([hit.id for hit in faqs.search("vacation", 5, KB)], passages.ids(1)) == ([1], {2})
