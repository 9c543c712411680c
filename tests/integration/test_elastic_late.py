"""What does a process do to an index in Elasticsearch that is stopped between the look at its lease and its request? No harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from apps.retrieval.indexes import elastic_build
from apps.retrieval.indexes.elastic_connection import ElasticConnection
from apps.retrieval.indexes.elastic_following import ElasticFollowing
from apps.retrieval.indexes.elastic_lease import Lease
from apps.retrieval.indexes.elastic_lexical import ElasticLexicalIndex
from apps.retrieval.indexes.elastic_vector import ElasticVectorIndex
from core.errors import SearchUnavailable
from core.types import FloatArray, IndexEntry, IndexState, Scope
from tests.elastic import elastic_connection

KB = Scope(kb_ids=(1,))
X, Y, Z = np.eye(3, dtype=np.float32)


class Stoppable(Lease):
    """A lease whose holder can be stopped: right after its n-th look at it, while something else is done, for as long as leases last.

    Whoever waits for it takes it over soon, and nobody loses it by being slow.
    """

    meanwhile: Callable[[], object] | None = None
    looks = 0
    is_stopped = False

    def stop(self, meanwhile: Callable[[], object], *, after: int = 1) -> None:
        self.meanwhile, self.looks = meanwhile, after

    def check(self) -> None:
        super().check()
        self.looks -= 1
        if self.meanwhile and not self.looks:
            act, self.meanwhile = self.meanwhile, None
            self.is_stopped = True
            act()
            self.is_stopped = False
            self._renewed_at -= self._lease_s + 1

    def _acquire(self) -> None:
        self._lease_s = 0.2
        super()._acquire()
        self._lease_s = 30.0

    def _renew(self) -> None:
        if not self.is_stopped:
            super()._renew()


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[ElasticConnection]:
    monkeypatch.setattr(elastic_build, "KEPT_S", 0.0)
    with elastic_connection() as connection:
        yield connection


def with_leases(index: ElasticFollowing) -> tuple[Stoppable, Stoppable]:
    """The leases of the index of knowledge base 1, and of a build of it."""
    both = [Stoppable(index.connection, index.states.index, f"{index.alias(1)}{end}") for end in ("", ":build")]
    index._leases[1], index._build_leases[1] = both
    return both[0], both[1]


def words(connection: ElasticConnection) -> ElasticLexicalIndex:
    """The words index as one more process has it."""
    with_leases(index := ElasticLexicalIndex(connection=connection))
    return index


def vectors(connection: ElasticConnection) -> ElasticVectorIndex:
    with_leases(index := ElasticVectorIndex(connection=connection, exact_max=100))
    return index


def follow(index: ElasticLexicalIndex, revision: int, texts: dict[int, str], *gone: int) -> None:
    with index.exclusive(1):
        if not index.state(1).built_with:
            index.clear(1, "a")
        index.put(1, [IndexEntry(id=id, text=text) for id, text in texts.items()], as_of=revision)
        index.delete(1, gone, as_of=revision)
        index.refresh(1, revision)


def follow_vectors(index: ElasticVectorIndex, revision: int, rows: dict[int, FloatArray], *gone: int) -> None:
    with index.exclusive(1):
        index.put(1, list(rows), np.stack(list(rows.values())), as_of=revision)
        index.delete(1, gone, as_of=revision)
        index.refresh(1, revision)


def build(index: Any, built_with: str, revision: int, *content: Any) -> None:
    with index.building(1, built_with) as aside:
        aside.put(1, *content, as_of=revision)
        aside.refresh(1, revision)
        with index.exclusive(1):
            aside.switch()


def texts_of(index: ElasticLexicalIndex) -> dict[int, list[str]]:
    """What is found of each entry by each of the words of these tests."""
    return {id: [word for word in ("old", "late", "new") if id in {hit.id for hit in index.search(word, 9, KB)}] for id in index.ids(1)}


def names(connection: ElasticConnection) -> list[str]:
    found = connection.patient(lambda client: client.indices.get(index=f"{connection.prefix}-*", features=["aliases"]))
    return [name for name in found if not name.endswith("-state")]


def test_a_late_request_overwrites_nothing_newer_and_brings_nothing_back(connection: ElasticConnection) -> None:
    late, other = words(connection), words(connection)
    follow(late, 1, {1: "old", 2: "old", 3: "old", 4: "old"}, 9)
    settings = {"index.gc_deletes": "0s"}  # as if the process was stopped for a minute
    connection.patient(lambda client: client.indices.put_settings(index=late.alias(1), settings=settings))
    late._leases[1].stop(lambda: follow(other, 3, {1: "new", 3: "new"}, 2, 4))  # type: ignore[attr-defined]
    with pytest.raises(SearchUnavailable):
        follow(late, 2, {1: "late", 2: "late", 5: "late"}, 3)
    connection.patient(lambda client: client.indices.refresh(index=late.alias(1)))
    assert texts_of(other) == {1: ["new"], 3: ["new"], 5: ["late"]}
    assert other.state(1) == IndexState(revision=3, built_with="a")


def test_a_late_request_overwrites_no_newer_vector_and_brings_none_back(connection: ElasticConnection) -> None:
    late, other = vectors(connection), vectors(connection)
    follow_vectors(late, 1, {1: X, 2: X, 3: X})
    late._leases[1].stop(lambda: follow_vectors(other, 3, {1: Z, 3: Z}, 2))  # type: ignore[attr-defined]
    with pytest.raises(SearchUnavailable):
        follow_vectors(late, 2, {1: Y, 2: Y}, 3)
    connection.patient(lambda client: client.indices.refresh(index=late.alias(1)))
    assert {id: row.tolist() for id, row in other.vectors(1, [1, 2, 3]).items()} == {1: Z.tolist(), 3: Z.tolist()}
    assert {hit.id for hit in other.search(Y, 9, KB)} == other.ids(1) == {1, 3}


def test_what_is_late_with_its_revision_does_not_set_it_back(connection: ElasticConnection) -> None:
    late, other = words(connection), words(connection)
    follow(late, 1, {1: "old"})
    late._leases[1].stop(lambda: follow(other, 3, {1: "new"}), after=2)  # type: ignore[attr-defined]
    with pytest.raises(SearchUnavailable):
        follow(late, 2, {2: "late"})
    assert other.state(1).revision == 3


@pytest.mark.parametrize("after", [1, 2, 3])
def test_of_two_that_fill_the_first_index_one_wins_and_it_can_be_followed(connection: ElasticConnection, after: int) -> None:
    late, other = words(connection), words(connection)
    late._leases[1].stop(lambda: follow(other, 3, {1: "new"}), after=after)  # type: ignore[attr-defined]
    with pytest.raises(SearchUnavailable):
        follow(late, 2, {1: "late", 2: "late"})
    assert (texts_of(other), other.state(1).revision) == ({1: ["new"]}, 3)
    follow(late, 4, {4: "new"})
    assert texts_of(other) == {1: ["new"], 4: ["new"]}
    other.sweep(1)
    assert len(names(connection)) == 1


def test_a_late_request_reaches_the_index_of_before_and_not_the_one_that_took_its_place(connection: ElasticConnection) -> None:
    late, other = vectors(connection), vectors(connection)
    build(late, "a", 1, [1], X[None])
    late._leases[1].stop(lambda: build(other, "b", 2, [1], Y[None]))  # type: ignore[attr-defined]
    with pytest.raises(SearchUnavailable):
        follow_vectors(late, 2, {1: X, 2: X})
    connection.patient(lambda client: client.indices.refresh(index=late.alias(1)))
    assert (other.ids(1), other.state(1)) == ({1}, IndexState(revision=2, built_with="b"))
    assert other.vectors(1, [1])[1].tolist() == Y.tolist()


def test_a_late_switch_fails_where_others_have_followed_further(connection: ElasticConnection) -> None:
    late, other = words(connection), words(connection)
    follow(late, 1, {1: "old"})
    late._leases[1].stop(lambda: follow(other, 3, {2: "new"}))  # type: ignore[attr-defined]
    with pytest.raises(SearchUnavailable):
        build(late, "b", 2, [IndexEntry(id=1, text="late")])
    assert (texts_of(other), other.state(1)) == ({1: ["old"], 2: ["new"]}, IndexState(revision=3, built_with="a"))
    build(late, "b", 4, [IndexEntry(id=1, text="new")])
    assert (texts_of(other), len(names(connection))) == ({1: ["new"]}, 1)


def test_a_late_build_makes_no_index_anew_that_was_swept_meanwhile(connection: ElasticConnection) -> None:
    late, other = words(connection), words(connection)
    follow(late, 1, {1: "old"})
    with pytest.raises(SearchUnavailable), late.building(1, "b") as aside:
        aside.put(1, [IndexEntry(id=1, text="late")], as_of=2)
        aside.refresh(1, 2)
        aside.put(1, [IndexEntry(id=2, text="late")], as_of=3)
        late._build_leases[1].stop(lambda: build(other, "b", 4, [IndexEntry(id=1, text="new")]))  # type: ignore[attr-defined]
        aside.refresh(1, 3)
    assert (texts_of(other), len(names(connection))) == ({1: ["new"]}, 1)


def test_a_document_as_of_the_same_revision_is_written_again(connection: ElasticConnection) -> None:
    index = words(connection)
    follow(index, 3, {1: "old", 2: "old"})
    follow(index, 3, {1: "new"}, 2)
    assert texts_of(index) == {1: ["new"]}


def test_an_index_that_was_written_without_revisions_is_followed_on(connection: ElasticConnection) -> None:
    index = words(connection)
    body = {"mappings": index.mappings({}), "settings": index.extra_settings, "aliases": {index.alias(1): {}}}
    connection.patient(lambda client: client.indices.create(index=f"{index.alias(1)}-before", **body))
    documents = {"1": {"id": 1, "words": "old"}, "2": {"id": 2, "words": "old"}, "state": {"revision": 1, "built_with": "a", "note": {}}}
    for _ in range(5):
        for id, document in documents.items():
            connection.patient(lambda client, id=id, document=document: client.index(index=index.alias(1), id=id, document=document))
    follow(index, 2, {1: "new"}, 2)
    assert (texts_of(index), index.state(1).revision) == ({1: ["new"]}, 2)
    follow(words(connection), 3, {2: "new"})
    assert texts_of(index) == {1: ["new"], 2: ["new"]}
