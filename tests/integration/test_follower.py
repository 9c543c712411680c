"""How an index keeps up with the database: revisions in order, tombstones, other processes, generations, lost bases."""

from __future__ import annotations

import errno
import time
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import REGISTRY

from apps.accounts.permissions import Caller
from apps.dialogue.models import Bot
from apps.dialogue.policy import choose_skill
from apps.retrieval.indexes import lexical
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Entry, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox import catching_up, verification
from apps.retrieval.outbox.catching_up import apply_changes
from apps.retrieval.outbox.follower import close_followers, follower
from apps.retrieval.outbox.indexing import delete_entries, put_entries
from apps.retrieval.outbox.rebuilding import rebuild, roll_back
from apps.retrieval.outbox.warmup import warm_up
from apps.retrieval.search.candidates import find_candidates
from apps.retrieval.selectors import scope_of
from apps.retrieval.vectors.encoding import encode_texts
from core.backends import get_backend, use_backend
from core.config import get_settings
from core.errors import IndexMismatch
from core.protocols import Encoder
from core.text import normalize
from core.types import EntryKind, Locale, Query, SearchMode
from tests.encoders import HashingEncoder
from tests.indexed_entries import pair

pytestmark = pytest.mark.django_db
FAQ = EntryKind.FAQ


def put(kb: KnowledgeBase, **texts: str) -> None:
    """Makes texts findable, `n7="text"` under the id 7."""
    rows = [(int(name[1:]), text) for name, text in texts.items()]
    put_entries(kb, FAQ, rows, encode_texts((FAQ, text) for _, text in rows))


def found(kb: KnowledgeBase, text: str, mode: SearchMode = SearchMode.LEXICAL) -> list[int]:
    """The ids that a question finds by words or by vectors, best first, once the index has caught up."""
    encoded = get_backend(get_settings().encoder_backend, Encoder).encode_query(text)  # type: ignore[type-abstract]
    scores = find_candidates(text, encoded, kind=FAQ, scope=scope_of([kb]), k=5, mode=mode).entries
    return [one.id for one in sorted(scores, key=lambda one: one.bm25 + (one.cosine or 0), reverse=True)]


def until(test: Callable[[], bool]) -> None:
    """Waits until it holds, at most five seconds."""
    end = time.monotonic() + 5
    while not test():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_search_sees_what_was_committed_before_it(kb: KnowledgeBase) -> None:
    put(kb, n1="annual leave")
    assert found(kb, "annual leave") == [1]
    put(kb, n2="annual leave days", n1="meal vouchers")
    assert found(kb, "annual leave") == [2]
    assert found(kb, "meal vouchers", SearchMode.VECTOR)[0] == 1


def test_revisions_are_given_one_by_one_and_followed_to_the_last(kb: KnowledgeBase) -> None:
    for number in range(1, 6):
        put(kb, **{f"n{number}": f"word{number}"})
    assert list(Entry.objects.order_by("pk").values_list("revision", flat=True)) == [1, 2, 3, 4, 5]
    found(kb, "word1")
    assert (pair().lexical.state(kb.pk).revision, pair().vector.state(kb.pk).revision) == (5, 5)
    assert pair().lexical.ids(kb.pk) == pair().vector.ids(kb.pk) == {1, 2, 3, 4, 5}


def test_a_tombstone_takes_a_text_out_of_both_indexes(kb: KnowledgeBase) -> None:
    put(kb, n1="annual leave", n2="meal vouchers")
    found(kb, "annual leave")
    delete_entries(kb, FAQ, [1])
    assert found(kb, "annual leave") == []
    assert pair().lexical.ids(kb.pk) == pair().vector.ids(kb.pk) == {2}
    assert Entry.objects.get(owner_id=1).deleted


def test_what_was_deleted_before_an_index_began_is_not_in_it(kb: KnowledgeBase) -> None:
    put(kb, n1="annual leave", n2="meal vouchers")
    delete_entries(kb, FAQ, [1])
    found(kb, "annual leave")
    assert pair().lexical.ids(kb.pk) == pair().vector.ids(kb.pk) == {2}


def test_bases_are_followed_apart(kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    put(kb, n1="annual leave")
    put(other, n2="annual leave")
    assert (found(kb, "annual leave"), found(other, "annual leave")) == ([1], [2])


def test_a_kind_without_entries_has_no_files_and_one_that_did_not_change_is_not_touched(kb: KnowledgeBase) -> None:
    put(kb, n1="annual leave")
    found(kb, "annual leave")
    state = get_settings().data_dir / "indexes" / "faq" / str(kb.pk) / "lexical" / "state.json"
    before = state.stat().st_mtime_ns
    put_entries(kb, EntryKind.PASSAGE, [(5, "annual report")], encode_texts([(EntryKind.PASSAGE, "annual report")]))
    follower().follow(kb.pk, kb.revision)
    assert sorted(path.name for path in (get_settings().data_dir / "indexes").iterdir()) == ["faq", "passage"]
    assert state.stat().st_mtime_ns == before
    assert indexes_for(EntryKind.PASSAGE).lexical.ids(kb.pk) == {5}


def test_a_search_for_one_kind_does_not_wait_for_another(kb: KnowledgeBase) -> None:
    put(kb, n1="annual leave")
    put_entries(kb, EntryKind.PASSAGE, [(5, "annual report")], None)
    assert found(kb, "annual leave") == [1]
    assert indexes_for(EntryKind.PASSAGE).lexical.ids(kb.pk) == set()
    assert [hit.id for hit in find_candidates("annual", None, kind=EntryKind.PASSAGE, scope=scope_of([kb]), k=5).entries] == [5]


def test_a_start_opens_the_indexes_of_every_kind_that_a_bot_needs(kb: KnowledgeBase, bot: Bot) -> None:
    put(kb, n1="annual leave")
    put_entries(kb, EntryKind.PASSAGE, [(5, "annual report")], None)
    warm_up()
    assert (indexes_for(FAQ).lexical.ids(kb.pk), indexes_for(EntryKind.PASSAGE).lexical.ids(kb.pk)) == ({1}, {5})


@pytest.mark.django_db(transaction=True)
def test_what_another_process_writes_is_followed_unasked(kb: KnowledgeBase, configure: Callable) -> None:
    configure(index_poll_ms=20)
    put(kb, n1="annual leave")
    found(kb, "annual leave")
    follower().watch()
    put(kb, n2="meal vouchers")  # nobody wakes the follower: as if it was written elsewhere
    until(lambda: pair().lexical.ids(kb.pk) == pair().vector.ids(kb.pk) == {1, 2})


@pytest.mark.django_db(transaction=True)
def test_a_base_that_is_being_loaded_is_followed_before_anybody_asks(kb: KnowledgeBase, configure: Callable) -> None:
    configure(index_poll_ms=20)
    put(kb, n1="annual leave")  # before the process began: nothing says that it will be asked
    follower().watch()
    time.sleep(0.1)
    assert pair().lexical.ids(kb.pk) == set()
    put(kb, n2="meal vouchers")
    until(lambda: pair().lexical.ids(kb.pk) == pair().vector.ids(kb.pk) == {1, 2})


@pytest.mark.django_db(transaction=True)
def test_a_base_that_is_gone_is_emptied_and_no_longer_watched(kb: KnowledgeBase, configure: Callable) -> None:
    configure(index_poll_ms=20)
    pk = kb.pk
    put(kb, n1="annual leave")
    found(kb, "annual leave")
    follower().watch()
    until(lambda: REGISTRY.get_sample_value("wenlu_index_lag_revisions", {"kb": str(pk), "kind": "faq"}) == 0)
    kb.delete()
    until(lambda: pair().lexical.ids(pk) == pair("hashing@1").vector.ids(pk) == set())
    until(lambda: REGISTRY.get_sample_value("wenlu_index_lag_revisions", {"kb": str(pk), "kind": "faq"}) is None)


@pytest.mark.django_db(transaction=True)
def test_a_base_that_is_gone_is_emptied_also_where_another_process_had_followed_it(kb: KnowledgeBase, configure: Callable) -> None:
    configure(index_poll_ms=20)
    pk = kb.pk
    put(kb, n1="annual leave")
    found(kb, "annual leave")
    close_followers()
    follower().watch()
    until(lambda: (pk, FAQ) in follower()._met_at)
    kb.delete()
    until(lambda: pair().lexical.ids(pk) == pair("hashing@1").vector.ids(pk) == set())


def test_another_encoder_is_refused_and_words_still_answer(kb: KnowledgeBase) -> None:
    put(kb, n1="annual leave")
    found(kb, "annual leave")
    use_backend(get_settings().encoder_backend, HashingEncoder("other@1"))
    with pytest.raises(IndexMismatch) as caught:
        found(kb, "annual leave", SearchMode.VECTOR)
    assert caught.value.details == {"repair": "manage.py reindex --kb hr"}
    assert found(kb, "annual leave") == [1]


def test_a_turn_with_another_encoder_answers_by_words_and_says_so(kb: KnowledgeBase, api, bot) -> None:
    api.post("/api/v1/kbs/hr/faqs/", {"questions": ["When is payday?"], "answer": "Friday."}, format="json")
    other = HashingEncoder("other@1")
    text = "when is payday then"
    query = Query(text=text, normalized=normalize(text), locale=Locale.EN, scope=scope_of([kb]), turn="t", encoded=other.encode_query(text))
    choice = choose_skill(query, threshold=None)
    assert choice.degraded
    assert choice.trace["faq"]["candidates"][0]["phrasing"] == "When is payday?"  # type: ignore[index,call-overload]


def test_a_new_generation_is_searched_at_once_and_can_go_back(kb: KnowledgeBase, admin_caller: Caller) -> None:
    put(kb, n1="annual leave", n2="meal vouchers")
    assert found(kb, "annual leave", SearchMode.VECTOR)[0] == 1
    first, backend = get_backend(get_settings().encoder_backend, Encoder), get_settings().encoder_backend  # type: ignore[type-abstract]
    use_backend(backend, HashingEncoder("other@1", dim=32))
    rebuild(kb, admin_caller)
    assert found(kb, "meal vouchers", SearchMode.VECTOR)[0] == 2
    assert pair().vector.state(kb.pk).built_with == "2:other@1"
    use_backend(backend, first)
    roll_back(kb, admin_caller)
    assert found(kb, "annual leave", SearchMode.VECTOR)[0] == 1
    assert IndexGeneration.objects.get(status="active").encoder == "hashing@1"


def test_many_entries_of_one_revision_are_not_all_in_memory_at_a_time(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "CHUNK", 2)
    monkeypatch.setattr(catching_up, "REFRESH_EVERY", 4)
    put(kb, **{f"n{number}": "annual leave" for number in range(10)})
    written = list[str]()
    index = Recorded(written)
    apply_changes(kb, FAQ, 0, index, lambda entries, _as_of: written.append(f"put {len(entries)}"))
    assert written == ["put 2", "put 2", "refresh 0", "put 2", "put 2", "refresh 0", "put 2", "refresh 1"]


def test_what_is_deleted_after_a_first_filling_broke_off_is_not_found(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "CHUNK", 1)
    monkeypatch.setattr(catching_up, "REFRESH_EVERY", 1)
    put(kb, n1="annual leave", n2="annual leave", n3="annual leave")
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        real = catching_up.put_texts
        broken.setattr(catching_up, "put_texts", lambda *put: 1 / 0 if put[2] and put[2][0].owner_id == 3 else real(*put))
        found(kb, "annual leave")
    delete_entries(kb, FAQ, [1])
    assert sorted(found(kb, "annual leave")) == [2, 3]
    assert pair().lexical.ids(kb.pk) == {2, 3}


class Recorded:
    """An index that notes what is done to it."""

    def __init__(self, written: list[str]) -> None:
        self._written = written

    def delete(self, kb_id: int, ids: Sequence[int], *, as_of: int = 0) -> None:
        self._written.append(f"delete {len(ids)}")

    def refresh(self, kb_id: int, revision: int) -> None:
        self._written.append(f"refresh {revision}")


def test_where_the_disk_is_full_questions_are_answered_by_what_was_there_and_later_by_all(
    kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put(kb, n1="annual leave")
    assert found(kb, "annual leave") == [1]
    put(kb, n2="annual leave")
    with monkeypatch.context() as writing:
        writing.setattr(lexical, "replace_file", full)
        candidates = find_candidates("annual leave", None, kind=FAQ, scope=scope_of([kb]), k=5)
        assert ([one.id for one in candidates.entries], candidates.degraded) == ([1], True)
    follower()._unreachable_until.clear()
    assert sorted(found(kb, "annual leave")) == [1, 2]


def test_comparing_content_and_entries_holds_their_texts_for_a_moment_only(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "annual leave " * 500
    entries = (Entry(kb=kb, kind=FAQ.value, owner_id=number, text=f"{text}{number}", revision=1) for number in range(2000))
    Entry.objects.bulk_create(entries, batch_size=100)
    monkeypatch.setitem(verification._content, FAQ, lambda _: ((number, f"{text}{number}") for number in range(1, 2001)))
    tracemalloc.start()
    drift = verification._entry_drift(kb, FAQ)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (drift.missing, drift.stray, drift.expected) == ({2000}, {0}, 2000)
    assert peak < len(text) * 2000 / 2
