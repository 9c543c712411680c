"""What is found by vectors while the encoder changes? All of it, by questions of the old encoder and of the new one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.accounts.permissions import Caller
from apps.retrieval.indexes.registry import close_indexes
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox import building_aside, held_generations, rebuilding
from apps.retrieval.outbox.checking import IndexChecker
from apps.retrieval.outbox.follower import close_followers, follower
from apps.retrieval.outbox.indexing import delete_entries
from apps.retrieval.outbox.rebuilding import rebuild, roll_back
from apps.retrieval.search.candidates import find_candidates
from apps.retrieval.selectors import scope_of
from core.backends import use_backend
from core.config import get_settings
from core.errors import IndexMismatch
from tests.encoders import HashingEncoder
from tests.indexed_entries import ALL, FAQ, LEXICAL, VECTOR, found, index_drifts, pair, put

pytestmark = pytest.mark.django_db
threads = pytest.mark.django_db(transaction=True)

OLD, NEW = HashingEncoder(), HashingEncoder("other@1", dim=32)


@pytest.fixture(params=["embedded"])
def store(request: pytest.FixtureRequest) -> str:
    """In Elasticsearch there is one index for all, of one encoder at a time."""
    return str(request.param)


def use(encoder: HashingEncoder) -> None:
    use_backend(get_settings().encoder_backend, encoder)


def found_by(kb: KnowledgeBase, encoder: HashingEncoder) -> set[int]:
    """What a question that this encoder encoded finds by vectors."""
    encoded = encoder.encode_query("annual leave")
    return {one.id for one in find_candidates("annual leave", encoded, kind=FAQ, scope=scope_of([kb]), k=50, mode=VECTOR).entries}


def begins(kb: KnowledgeBase) -> None:
    """As a server that was just started: what it had in memory is gone, and what it lacks it reads in the background."""
    close_followers()
    close_indexes()
    follower().renew_in_background()
    follower().watch()
    follower().follow(kb.pk, kb.revision)


def comes(kb: KnowledgeBase, encoder: HashingEncoder) -> set[int]:
    """What is found by this encoder's questions once its vectors have been read."""
    ended = threading.Event()
    for _ in range(400):
        try:
            return found_by(kb, encoder)
        except IndexMismatch:
            ended.wait(0.05)
    raise AssertionError("its vectors did not come")


def folders(kb: KnowledgeBase) -> set[str]:
    return {path.parent.name for path in home(kb).glob("vectors*/manifest.json")}


def home(kb: KnowledgeBase) -> Path:
    return get_settings().data_dir / "indexes" / "faq" / str(kb.pk)


@threads
def test_questions_of_the_old_encoder_are_answered_throughout_and_those_of_the_new_one_from_the_switch_on(
    filled_kb: KnowledgeBase, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins(filled_kb)
    assert found_by(filled_kb, OLD) == ALL
    may_go_on, put_vectors = threading.Event(), building_aside.put_vectors

    def put_slowly(*words: object) -> None:
        if threading.current_thread().name == "renew-indexes":
            may_go_on.wait(20)
        put_vectors(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(building_aside, "save_vectors_beforehand", lambda *_: False)
    monkeypatch.setattr(rebuilding, "save_vectors_beforehand", lambda *_: False)  # another machine's server finds nothing on disk
    monkeypatch.setattr(building_aside, "put_vectors", put_slowly)
    use(NEW)
    rebuild(filled_kb, admin_caller)
    assert found_by(filled_kb, OLD) == ALL
    delete_entries(filled_kb, FAQ, [1])
    assert found_by(filled_kb, OLD) == ALL - {1}
    with pytest.raises(IndexMismatch, match="being read"):
        found_by(filled_kb, NEW)
    assert index_drifts(filled_kb) == []
    may_go_on.set()
    assert comes(filled_kb, NEW) == found_by(filled_kb, OLD) == ALL - {1}


def test_a_server_begins_with_what_was_left_on_disk_before_the_switch(
    filled_kb: KnowledgeBase, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    activate = rebuilding._activate

    def note_and_activate(*words: object) -> None:
        begun.append(len(folders(filled_kb)))
        activate(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(rebuilding, "LAST_CHUNK", 0)
    monkeypatch.setattr(rebuilding, "_activate", note_and_activate)
    found(filled_kb, VECTOR)
    close_indexes()
    use(NEW)
    rebuild(filled_kb, admin_caller)
    assert begun == [2]
    put(filled_kb, 9)
    close_followers()
    close_indexes()
    monkeypatch.setattr(building_aside, "put_vectors", lambda *_: 1 / 0)
    assert found_by(filled_kb, NEW) == ALL | {9}


@threads
def test_a_rollback_finds_the_vectors_of_before_on_disk_with_what_has_changed_since(filled_kb: KnowledgeBase, admin_caller: Caller) -> None:
    assert found(filled_kb, VECTOR) == (ALL, False)
    use(NEW)
    rebuild(filled_kb, admin_caller)
    begins(filled_kb)
    delete_entries(filled_kb, FAQ, [1])
    put(filled_kb, 2, 9)
    assert found_by(filled_kb, NEW) == (ALL | {9}) - {1}
    use(OLD)
    roll_back(filled_kb, admin_caller)
    assert comes(filled_kb, OLD) == found_by(filled_kb, NEW) | {2, 9} == (ALL | {9}) - {1}
    assert index_drifts(filled_kb) == []


@threads
def test_a_server_that_was_started_with_the_old_encoder_reads_its_vectors_when_it_is_asked(
    filled_kb: KnowledgeBase, admin_caller: Caller
) -> None:
    use(NEW)
    rebuild(filled_kb, admin_caller)
    begins(filled_kb)
    assert follower().is_reading(filled_kb.pk, FAQ, OLD.model_id)
    with pytest.raises(IndexMismatch):
        found_by(filled_kb, OLD)
    assert comes(filled_kb, OLD) == ALL


@threads
def test_vectors_that_nobody_asks_for_any_more_leave_memory_but_not_the_disk(
    filled_kb: KnowledgeBase, admin_caller: Caller, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(index_poll_ms=20)
    begins(filled_kb)
    assert found_by(filled_kb, OLD) == ALL
    use(NEW)
    rebuild(filled_kb, admin_caller)
    assert comes(filled_kb, NEW) == found_by(filled_kb, OLD) == ALL
    monkeypatch.setattr(held_generations, "IDLE_S", 0.0)
    put(filled_kb, 9)
    found_by(filled_kb, NEW)
    for _ in range(400):
        if not pair("hashing@1").vector._kbs:  # type: ignore[attr-defined]
            break
        threading.Event().wait(0.05)
    assert pair("hashing@1").vector._kbs == {} and len(folders(filled_kb)) == 2  # type: ignore[attr-defined]


def test_a_build_that_dies_before_the_switch_changes_nothing_and_what_it_left_is_removed(
    filled_kb: KnowledgeBase, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(filled_kb, VECTOR)
    close_indexes()
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(rebuilding, "LAST_CHUNK", 0)
        patched.setattr(rebuilding, "_switch_when_full", lambda *_: 1 / 0)
        use(NEW)
        rebuild(filled_kb, admin_caller)
    assert found_by(filled_kb, OLD) == ALL and len(folders(filled_kb)) == 2
    IndexChecker().check_all()
    assert found_by(filled_kb, OLD) == ALL and len(folders(filled_kb)) == 1


def test_an_interrupted_build_that_goes_on_finds_what_was_encoded_since_it_was_interrupted(
    filled_kb: KnowledgeBase, admin_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, put_vectors = rebuilding.save_vectors_beforehand, rebuilding.put_vectors
    use(NEW)
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(rebuilding, "LAST_CHUNK", 4)
        patched.setattr(rebuilding, "put_vectors", lambda generation, entries, encoded: put_vectors(generation, entries[:5], encoded))
        patched.setattr(rebuilding, "save_vectors_beforehand", lambda *words: save(*words) and 1 / 0)
        rebuild(filled_kb, admin_caller)
    monkeypatch.setattr(rebuilding, "LAST_CHUNK", 0)  # the other three are encoded without a revision
    rebuild(filled_kb, admin_caller)
    close_followers()
    close_indexes()
    assert found_by(filled_kb, NEW) == ALL


def test_generations_that_are_gone_leave_no_vectors_on_disk(filled_kb: KnowledgeBase, admin_caller: Caller) -> None:
    for encoder in (NEW, HashingEncoder("third@1"), HashingEncoder("fourth@1")):
        found(filled_kb, VECTOR)
        use(encoder)
        rebuild(filled_kb, admin_caller)
    close_indexes()
    IndexChecker().check_all()
    assert len(folders(filled_kb)) == 2 and found(filled_kb, LEXICAL) == (ALL, False)


def test_vectors_that_an_earlier_version_saved_are_taken_up(filled_kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    found(filled_kb, VECTOR)
    close_followers()
    close_indexes()
    (folder,) = home(filled_kb).glob("vectors-*")
    folder.rename(folder.with_name("vectors"))
    monkeypatch.setattr(building_aside, "put_vectors", lambda *_: 1 / 0)
    assert found(filled_kb, VECTOR) == (ALL, False)
    assert [path.name for path in home(filled_kb).glob("vectors*")] == [folder.name]
