"""What does a rollback to the generation before find? What is there now, at once where its vectors were kept in Elasticsearch."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from apps.accounts.permissions import Caller
from apps.retrieval.indexes.elastic_kept import Indexes, read_indexes
from apps.retrieval.indexes.elastic_vector import ElasticVectorIndex
from apps.retrieval.models import Entry, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox import building_aside, rebuilding
from apps.retrieval.outbox.catching_up import empty_index
from apps.retrieval.outbox.checking import IndexChecker
from apps.retrieval.outbox.indexing import delete_entries
from apps.retrieval.outbox.rebuilding import rebuild, roll_back
from core.errors import InvalidRequest
from core.protocols import VectorWriter
from tests.indexed_entries import ALL, FAQ, LEXICAL, VECTOR, found, index_drifts, pair, put

pytestmark = pytest.mark.django_db


def kept_in_elastic(kb: KnowledgeBase) -> tuple[str, ...]:
    """The vector indexes that are kept for a rollback."""
    index = pair().vector
    assert isinstance(index, ElasticVectorIndex)
    return read_indexes(index.connection, index.alias(kb.pk)).kept


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The owners whose vectors were given to a build."""
    owners, put = set[int](), building_aside.put_vectors

    def put_and_note(build: VectorWriter, kb_id: int, entries: Sequence[Entry], generation: IndexGeneration, as_of: int) -> None:
        owners.update(entry.owner_id for entry in entries)
        put(build, kb_id, entries, generation, as_of)

    monkeypatch.setattr(building_aside, "put_vectors", put_and_note)
    return owners


def test_a_rollback_does_not_bring_back_what_was_deleted_since_and_finds_what_was_added(
    filled_kb: KnowledgeBase, admin_caller: Caller
) -> None:
    rebuild(filled_kb, admin_caller)
    delete_entries(filled_kb, FAQ, [1, 2])
    put(filled_kb, 3, 9)
    assert found(filled_kb, VECTOR) == ((ALL | {9}) - {1, 2}, False)
    roll_back(filled_kb, admin_caller)
    assert pair().vector.state(filled_kb.pk).built_with == "1:hashing@1"
    assert found(filled_kb, VECTOR) == found(filled_kb, LEXICAL) == ((ALL | {9}) - {1, 2}, False)
    delete_entries(filled_kb, FAQ, [4])
    put(filled_kb, 10)
    roll_back(filled_kb, admin_caller)
    assert pair().vector.state(filled_kb.pk).built_with == "2:hashing@1"
    assert found(filled_kb, VECTOR) == ((ALL | {9, 10}) - {1, 2, 4}, False)
    assert index_drifts(filled_kb) == []


@pytest.mark.parametrize("store", ["elastic"], indirect=True)
def test_a_rollback_takes_up_the_index_that_was_kept_and_reads_only_what_has_changed_since(
    filled_kb: KnowledgeBase, admin_caller: Caller, passed: set[int]
) -> None:
    rebuild(filled_kb, admin_caller)  # so few texts are all encoded late: they take a revision
    roll_back(filled_kb, admin_caller)
    (kept,) = kept_in_elastic(filled_kb)
    put(filled_kb, 3)
    passed.clear()
    roll_back(filled_kb, admin_caller)
    assert passed == {3}
    (instead,) = kept_in_elastic(filled_kb)
    assert instead != kept
    passed.clear()
    roll_back(filled_kb, admin_caller)
    assert (passed, kept_in_elastic(filled_kb)) == ({3}, (kept,))


@pytest.mark.parametrize("store", ["elastic"], indirect=True)
def test_a_rollback_reads_everything_where_the_kept_index_is_gone_or_ahead_of_the_database(
    filled_kb: KnowledgeBase, admin_caller: Caller, passed: set[int]
) -> None:
    for _ in range(3):
        put(filled_kb, 1)
        assert found(filled_kb, VECTOR) == (ALL, False)
    rebuild(filled_kb, admin_caller)
    KnowledgeBase.objects.filter(pk=filled_kb.pk).update(revision=0)
    Entry.objects.update(revision=0)  # as after an older copy of the database was put back
    put(filled_kb, *ALL - {1})
    passed.clear()
    roll_back(filled_kb, admin_caller)
    assert passed >= ALL - {1}
    index = pair().vector
    index.sweep(filled_kb.pk)
    assert kept_in_elastic(filled_kb) == ()
    passed.clear()
    roll_back(filled_kb, admin_caller)
    assert passed >= ALL - {1}


@pytest.mark.parametrize("store", ["elastic"], indirect=True)
def test_the_check_in_the_background_spares_the_kept_index_until_its_generation_is_gone(
    filled_kb: KnowledgeBase, admin_caller: Caller
) -> None:
    for _ in range(2):
        rebuild(filled_kb, admin_caller)
        index = pair().vector
        index.create(filled_kb.pk, {"dims": 3})  # type: ignore[attr-defined]
        kept = kept_in_elastic(filled_kb)
        IndexChecker().check_all()
        assert (len(kept), kept_in_elastic(filled_kb)) == (1, kept)
        assert read_indexes(index.connection, index.alias(filled_kb.pk)).left_over == ()  # type: ignore[attr-defined]
    IndexGeneration.objects.filter(kb=filled_kb, status=IndexGeneration.Status.RETIRED).delete()
    IndexChecker().check_all()
    assert kept_in_elastic(filled_kb) == ()
    assert found(filled_kb, VECTOR) == (ALL, False)


@pytest.mark.parametrize("store", ["elastic"], indirect=True)
def test_a_rollback_that_dies_between_database_and_index_is_finished_by_whoever_follows(
    filled_kb: KnowledgeBase, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(filled_kb, admin_caller)
    delete_entries(filled_kb, FAQ, [1])
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(building_aside.Aside, "switch", lambda _: 1 / 0)
        roll_back(filled_kb, admin_caller)
    assert (pair().vector.state(filled_kb.pk).built_with, len(kept_in_elastic(filled_kb))) == ("2:hashing@1", 1)
    put(filled_kb, 9)
    assert found(filled_kb, VECTOR) == ((ALL | {9}) - {1}, False)
    assert (pair().vector.state(filled_kb.pk).built_with, kept_in_elastic(filled_kb)) == ("1:hashing@1", ())
    roll_back(filled_kb, admin_caller)
    assert found(filled_kb, VECTOR) == ((ALL | {9}) - {1}, False)


@pytest.mark.parametrize("store", ["elastic"], indirect=True)
def test_a_knowledge_base_that_is_deleted_keeps_no_index(filled_kb: KnowledgeBase, admin_caller: Caller) -> None:
    rebuild(filled_kb, admin_caller)
    index, pk = pair().vector, filled_kb.pk
    assert len(kept_in_elastic(filled_kb)) == 1
    filled_kb.delete()
    empty_index(index, pk)
    assert read_indexes(index.connection, index.alias(pk)) == Indexes(in_force=(), kept=(), left_over=())  # type: ignore[attr-defined]


@pytest.mark.parametrize("store", ["embedded"], indirect=True)
def test_two_builds_at_a_time_switch_once_and_keep_the_generation_before(filled_kb: KnowledgeBase, admin_caller: Caller) -> None:
    meanwhile = [lambda: rebuild(filled_kb, admin_caller)]
    built = rebuild(filled_kb, admin_caller, lambda _: meanwhile.pop()() if meanwhile else None)
    assert (built.number, built.status) == (2, IndexGeneration.Status.ACTIVE)
    assert roll_back(filled_kb, admin_caller).number == 1


@pytest.mark.parametrize("store", ["embedded"], indirect=True)
def test_two_rollbacks_at_a_time_go_back_once_and_keep_the_generation_that_they_left(
    filled_kb: KnowledgeBase, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(filled_kb, admin_caller)
    real, meanwhile = rebuilding.shared_vectors_aside, [lambda: roll_back(filled_kb, admin_caller)]
    monkeypatch.setattr(rebuilding, "shared_vectors_aside", lambda *asked: (meanwhile.pop()() if meanwhile else None, real(*asked))[1])
    with pytest.raises(InvalidRequest, match="meanwhile"):
        roll_back(filled_kb, admin_caller)
    assert [(one.number, one.status) for one in filled_kb.generations.all()] == [(2, "retired"), (1, "active")]


@pytest.mark.parametrize("store", ["embedded"], indirect=True)
def test_a_build_whose_generation_another_encoder_has_replaced_says_so(filled_kb: KnowledgeBase, admin_caller: Caller) -> None:
    replaced = IndexGeneration.objects.filter(kb=filled_kb, status=IndexGeneration.Status.BUILDING)
    with pytest.raises(InvalidRequest, match="meanwhile"):
        rebuild(filled_kb, admin_caller, lambda _: replaced.delete())
