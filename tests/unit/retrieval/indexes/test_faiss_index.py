"""Graphs, changes during a build, snapshots and threads of the FAISS index."""

from __future__ import annotations

import json
import logging
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from apps.retrieval.indexes import knowledge_base_vectors
from apps.retrieval.indexes.enlarging import enlarged
from apps.retrieval.indexes.fact_table import Mask
from apps.retrieval.indexes.faiss_index import FaissIndex
from apps.retrieval.indexes.large_part import LargePart
from apps.retrieval.indexes.vector_view import VectorView, empty_view
from core.types import NO_FACTS, Facts, Filters, FloatArray, IndexState, Scope

KB = Scope(kb_ids=(1,))
DIM, CLUSTERS_MIN = 16, 1_000_000


def unit_rows(count: int, *, seed: int = 0) -> FloatArray:
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def fill(index: FaissIndex, ids: list[int], rows: FloatArray, *, revision: int = 1) -> None:
    with index.exclusive(1):
        if not index.state(1).built_with:
            index.clear(1, "encoder-1")
        index.put(1, ids, rows)
        index.refresh(1, revision)


def with_no_facts(rows: dict[int, FloatArray]) -> dict[int, tuple[FloatArray, Facts]]:
    return {row_id: (row, NO_FACTS) for row_id, row in rows.items()}


def best(index: FaissIndex, row: FloatArray) -> int:
    return index.search(row, 1, KB)[0].id


def test_a_graph_finds_what_an_exact_scan_finds(tmp_path: Path) -> None:
    rows, queries = unit_rows(3000), unit_rows(50, seed=1)
    index = FaissIndex(folder=tmp_path, exact_max=500)
    fill(index, list(range(3000)), rows)
    index.wait_for_maintenance()
    exact = np.argsort(-(queries @ rows.T), axis=1)[:, :10]
    shared = [
        len({hit.id for hit in index.search(query, 10, KB)} & set(truth.tolist())) for query, truth in zip(queries, exact, strict=True)
    ]
    assert index._kb(1).view.large is not None  # type: ignore[union-attr]
    assert np.mean(shared) / 10 >= 0.97
    index.close()


def test_replacing_many_entries_rebuilds_the_graph_without_its_dead(tmp_path: Path) -> None:
    index = FaissIndex(folder=tmp_path, exact_max=100)
    fill(index, list(range(400)), unit_rows(400))
    index.wait_for_maintenance()
    fill(index, list(range(100)), unit_rows(100, seed=2), revision=2)
    index.wait_for_maintenance()
    view = index._kb(1).view
    assert view is not None
    assert (view.nodes, view.count) == (400, 400)
    assert [best(index, row) for row in unit_rows(100, seed=2)] == list(range(100))
    index.close()


def test_what_changes_while_a_graph_is_built_is_neither_lost_nor_revived() -> None:
    rows, newer = unit_rows(300), unit_rows(2, seed=3)
    before = empty_view(DIM).changed(with_no_facts(dict(enumerate(rows))), set())
    graph, alive = enlarged(before, CLUSTERS_MIN, threading.Event())
    meanwhile = before.changed(with_no_facts({0: newer[0], 900: newer[1]}), {1})
    after = meanwhile.with_large(graph, alive, {0, 900, 1})
    assert after.ids() == (set(range(300)) - {1}) | {900}
    assert max(after.search(newer[0], 5), key=lambda hit: hit.score).id == 0
    assert max(after.search(newer[1], 5), key=lambda hit: hit.score).id == 900
    assert 1 not in [hit.id for hit in after.search(rows[1], 5)]


def test_an_entry_replaced_twice_in_a_graph_has_its_last_vector() -> None:
    rows = unit_rows(300)
    view = empty_view(DIM).changed(with_no_facts(dict(enumerate(rows))), set())
    for seed in (4, 5):
        view = view.with_large(*enlarged(view, CLUSTERS_MIN, threading.Event()), set())
        view = view.changed(with_no_facts({7: unit_rows(1, seed=seed)[0]}), set())
    view = view.with_large(*enlarged(view, CLUSTERS_MIN, threading.Event()), set())
    assert view.vectors(np.array([7]))[7] == pytest.approx(unit_rows(1, seed=5)[0], abs=1e-3)
    assert (view.nodes, view.count) == (302, 300)


def test_clear_during_a_build_wins(tmp_path: Path) -> None:
    index = FaissIndex(folder=tmp_path, exact_max=10)
    fill(index, list(range(3000)), unit_rows(3000))
    with index.exclusive(1):
        index.clear(1, "encoder-2")
    index.wait_for_maintenance()
    assert index.search(unit_rows(1)[0], 5, KB) == []
    fill(index, [5], unit_rows(1))
    assert best(index, unit_rows(1)[0]) == 5
    index.close()


def test_a_build_is_due_once_however_often_entries_change_during_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    building, may_end = threading.Event(), threading.Event()

    def slowly(view: VectorView, clusters_min: int, stop: threading.Event) -> tuple[LargePart, Mask]:
        building.set()
        assert may_end.wait(10)
        return enlarged(view, clusters_min, stop)

    monkeypatch.setattr(knowledge_base_vectors, "enlarged", slowly)
    index = FaissIndex(folder=tmp_path, exact_max=100)
    fill(index, list(range(200)), unit_rows(200))
    assert building.wait(10)
    for revision in range(2, 12):
        fill(index, [200 + revision], unit_rows(1, seed=revision), revision=revision)
    assert index._due.qsize() == 1
    may_end.set()
    index.wait_for_maintenance()
    assert best(index, unit_rows(1, seed=11)[0]) == 211
    index.close()


def test_searches_go_on_unharmed_while_entries_change_and_graphs_are_built(tmp_path: Path) -> None:
    rows = unit_rows(1500)
    index = FaissIndex(folder=tmp_path, exact_max=200)
    fill(index, [0], rows[:1])
    failures: list[BaseException] = []
    done = threading.Event()

    def search_until_done() -> None:
        try:
            while not done.is_set():
                assert best(index, rows[0]) == 0
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=search_until_done) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(1, 1500, 100):
        fill(index, list(range(start, min(start + 100, 1500))), rows[start : start + 100], revision=start)
    index.wait_for_maintenance()
    done.set()
    for thread in threads:
        thread.join()
    index.close()
    assert failures == []


def test_a_restart_loads_graph_and_rows_and_goes_on_from_there(tmp_path: Path) -> None:
    rows = unit_rows(300)
    index = FaissIndex(folder=tmp_path, exact_max=200)
    fill(index, list(range(250)), rows[:250])
    index.wait_for_maintenance()
    fill(index, list(range(250, 300)), rows[250:], revision=2)
    index.close()
    again = FaissIndex(folder=tmp_path, exact_max=200)
    assert again.state(1) == IndexState(revision=2, built_with="encoder-1")
    assert again._kb(1).view.nodes == 250  # type: ignore[union-attr]
    assert [best(again, row) for row in rows] == list(range(300))
    fill(again, [3], unit_rows(1, seed=9), revision=3)
    assert best(again, unit_rows(1, seed=9)[0]) == 3


@pytest.mark.parametrize("clusters_min", [10_000, 1_000], ids=["graph", "clusters"])
def test_what_was_saved_is_searched_from_its_file_and_grows_all_the_same(tmp_path: Path, clusters_min: int) -> None:
    rows = unit_rows(2_500)
    index = FaissIndex(folder=tmp_path, exact_max=200, clusters_min=clusters_min)
    fill(index, list(range(2_000)), rows[:2_000])
    index.wait_for_maintenance()
    kb = index._kb(1)
    assert kb.view is not None and kb.view.large is kb._snapshot._large and kb._snapshot._mapped_file is not None
    assert [best(index, row) for row in rows[:50]] == list(range(50))
    fill(index, list(range(2_000, 2_500)), rows[2_000:], revision=2)
    index.wait_for_maintenance()
    assert kb.view.nodes == 2_500 and [best(index, row) for row in rows[2_000:2_050]] == list(range(2_000, 2_050))
    index.close()
    assert FaissIndex(folder=tmp_path, exact_max=200).state(1).revision == 2


def test_a_snapshot_without_a_graph_gets_one_after_the_restart(tmp_path: Path) -> None:
    index = FaissIndex(folder=tmp_path, exact_max=1000)
    fill(index, list(range(300)), unit_rows(300))
    index.close()
    again = FaissIndex(folder=tmp_path, exact_max=100)
    assert best(again, unit_rows(300)[7]) == 7
    again.wait_for_maintenance()
    assert again._kb(1).view.nodes == 300  # type: ignore[union-attr]
    again.close()


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "manifest"])
def test_a_damaged_snapshot_counts_as_none(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    index = FaissIndex(folder=tmp_path, exact_max=100)
    fill(index, [1, 2], unit_rows(2))
    index.close()
    folder = tmp_path / "faq" / "1" / "vectors"
    manifest = json.loads((folder / "manifest.json").read_text())
    path = folder / manifest["files"]["rows"]["name"]
    content = path.read_bytes()
    changed = {"flip": content[:-1] + bytes([content[-1] ^ 1]), "truncate": content[:-8], "remove": b"", "manifest": content}
    path.write_bytes(changed[harm])
    if harm == "remove":
        path.unlink()
    if harm == "manifest":
        (folder / "manifest.json").write_text('{"format": 1}')
    with caplog.at_level(logging.WARNING):
        again = FaissIndex(folder=tmp_path, exact_max=100)
        assert again.state(1) == IndexState(revision=0, built_with="")
    assert again.search(unit_rows(1)[0], 5, KB) == []
    assert "vector_snapshot_ignored" in caplog.text
    fill(again, [1, 2], unit_rows(2))
    again.close()
    assert FaissIndex(folder=tmp_path, exact_max=100).state(1).revision == 1


def test_an_older_process_does_not_overwrite_a_newer_snapshot(tmp_path: Path) -> None:
    older, newer = (FaissIndex(folder=tmp_path, exact_max=100) for _ in range(2))
    fill(older, [1], unit_rows(1), revision=1)
    fill(newer, [1, 2], unit_rows(2), revision=2)
    newer.close()
    older.close()
    assert FaissIndex(folder=tmp_path, exact_max=100).state(1).revision == 2


@contextmanager
def full_disk(left: int) -> Iterator[None]:
    """No file of this process can grow beyond `left` bytes: writing more fails as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.suffix in (".npy", ".faiss")}


def test_a_full_disk_ends_neither_building_nor_saving_and_leaves_nothing_behind(tmp_path: Path) -> None:
    index = FaissIndex(folder=tmp_path, exact_max=100)
    with full_disk(16 * 2**10):
        fill(index, list(range(500)), unit_rows(500))
        index.wait_for_maintenance()
        assert best(index, unit_rows(500)[7]) == 7 and files_in(tmp_path) == set()
        index.close()
    fill(index, list(range(500, 1000)), unit_rows(500, seed=1), revision=2)
    index.close()
    again = FaissIndex(folder=tmp_path, exact_max=100)
    assert best(again, unit_rows(500, seed=1)[7]) == 507 and again.state(1).revision == 2


def test_snapshots_leave_no_old_files(tmp_path: Path) -> None:
    for revision in (1, 2, 3):
        index = FaissIndex(folder=tmp_path, exact_max=100)
        fill(index, [revision], unit_rows(1), revision=revision)
        index.close()
    files = {path.suffix for path in (tmp_path / "faq" / "1" / "vectors").iterdir()}
    assert len(list((tmp_path / "faq" / "1" / "vectors").glob("*.npy"))) == 5
    assert files == {"", ".npy", ".json"}


def clustered_rows(count: int) -> FloatArray:
    """Ten tight clusters, row n in cluster n modulo 10."""
    rows = unit_rows(10, seed=6)[np.arange(count) % 10] + 0.2 * unit_rows(count, seed=7)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("share", ["tenth", "half", "far", "one"])
def test_a_filter_that_shuts_out_the_neighbourhood_loses_no_recall(share: str) -> None:
    count = 20_000
    rows = clustered_rows(count)
    clusters = np.arange(count) % 10
    admitted = {"tenth": clusters == 3, "half": clusters % 2 == 1, "far": clusters != 0, "one": np.arange(count) == 77}[share]
    facts = [Facts(terms=("yes",) if yes else ("no",)) for yes in admitted]
    view = empty_view(DIM).changed({n: (row, facts[n]) for n, row in enumerate(rows)}, set())
    view = view.with_large(*enlarged(view, CLUSTERS_MIN, threading.Event()), set())
    for query in rows[:200:10]:  # all of cluster 0, which none of the filters lets in
        truth = np.flatnonzero(admitted)[np.argsort(-(rows[admitted] @ query))[:10]]
        hits = view.search(query, 10, Filters(any_of=(frozenset({"yes"}),)))
        assert len({hit.id for hit in hits} & set(truth.tolist())) >= min(9, len(truth))


def test_deleting_a_whole_neighbourhood_leaves_the_rest_findable() -> None:
    rows = clustered_rows(5_000)
    view = empty_view(DIM).changed(with_no_facts(dict(enumerate(rows))), set())
    view = view.with_large(*enlarged(view, CLUSTERS_MIN, threading.Event()), set())
    left = view.changed({}, set(range(0, 5_000, 10)))
    truth = [n for n in np.argsort(-(rows @ rows[0])) if n % 10][:10]
    assert len({hit.id for hit in left.search(rows[0], 10)} & set(truth)) >= 9


def test_a_snapshot_of_an_older_format_is_built_anew(tmp_path: Path) -> None:
    index = FaissIndex(folder=tmp_path, exact_max=100)
    fill(index, [1, 2], unit_rows(2))
    index.close()
    manifest = tmp_path / "faq" / "1" / "vectors" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 1}))
    assert FaissIndex(folder=tmp_path, exact_max=100).state(1) == IndexState(revision=0, built_with="")
