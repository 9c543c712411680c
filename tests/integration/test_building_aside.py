"""What do people notice while indexes are built anew? Nothing: questions are answered whole, and what is edited meanwhile holds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from apps.accounts.permissions import Caller
from apps.dialogue.models import Bot
from apps.retrieval.indexes.analysis import ANALYSIS
from apps.retrieval.indexes.elastic_kept import read_indexes
from apps.retrieval.indexes.elastic_lexical import ElasticLexicalIndex
from apps.retrieval.indexes.part_build import new_part
from apps.retrieval.indexes.registry import IndexPart
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox import building_aside, catching_up, checking
from apps.retrieval.outbox.checking import IndexChecker
from apps.retrieval.outbox.follower import IndexFollower, close_followers, follower
from apps.retrieval.outbox.indexing import delete_entries
from apps.retrieval.outbox.rebuilding import rebuild, roll_back
from apps.retrieval.outbox.renewing import renew
from apps.retrieval.outbox.verification import Drift, find_index_drift, repair
from apps.retrieval.outbox.warmup import warm_up
from apps.retrieval.selectors import scope_of
from core.backends import get_backend, use_backend
from core.config import get_settings
from core.protocols import Encoder
from tests.encoders import HashingEncoder
from tests.indexed_entries import ALL, FAQ, LEXICAL, VECTOR, Found, found, index_drifts, pair, put

pytestmark = pytest.mark.django_db
threads = pytest.mark.django_db(transaction=True)


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Has something happen in the middle of every build: `during("put_texts", act)` once the entries of a chunk are in."""

    def plant(name: str, act: Callable[[], object]) -> None:
        put = getattr(building_aside, name)

        def put_then_act(*words: object) -> None:
            put(*words)
            act()

        monkeypatch.setattr(building_aside, name, put_then_act)

    return plant


def once(act: Callable[[], object]) -> Callable[[], object]:
    """Acts the first time only."""
    done: list[bool] = []

    def act_once() -> None:
        if not done:
            done.append(True)
            act()

    return act_once


def until(test: Callable[[], bool]) -> None:
    """Waits until it holds, at most twenty seconds."""
    end = time.monotonic() + 20
    while not test():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_questions_are_answered_whole_while_words_are_built_anew(
    filled_kb: KnowledgeBase, admin_caller: Caller, during: Callable[..., None]
) -> None:
    heard: list[Found] = []
    during("put_texts", lambda: heard.extend(found(filled_kb, mode) for mode in (LEXICAL, VECTOR)))
    rebuild(filled_kb, admin_caller)
    assert heard == [(ALL, False)] * 2
    assert found(filled_kb, LEXICAL) == found(filled_kb, VECTOR) == (ALL, False)


def test_what_is_deleted_meanwhile_does_not_come_back_and_what_is_added_is_found(
    filled_kb: KnowledgeBase, admin_caller: Caller, during: Callable[..., None]
) -> None:
    def edit() -> None:
        delete_entries(filled_kb, FAQ, [1, 2])
        put(filled_kb, 9)
        assert found(filled_kb, LEXICAL) == ((ALL | {9}) - {1, 2}, False)

    during("put_texts", once(edit))
    rebuild(filled_kb, admin_caller)
    assert found(filled_kb, LEXICAL) == found(filled_kb, VECTOR) == ((ALL | {9}) - {1, 2}, False)
    assert pair().lexical.ids(filled_kb.pk) == pair().vector.ids(filled_kb.pk) == (ALL | {9}) - {1, 2}


@threads
def test_whoever_asks_all_the_time_never_gets_less(filled_kb: KnowledgeBase, admin_caller: Caller) -> None:
    answers: list[Found] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.extend(found(filled_kb, mode) for mode in (LEXICAL, VECTOR))

    follower().watch()
    asking = threading.Thread(target=ask)
    asking.start()
    until(lambda: len(answers) > 2)
    for _ in range(3):
        rebuild(filled_kb, admin_caller)
    seen = len(answers)
    until(lambda: len(answers) > seen + 2)
    over.set()
    asking.join(20)
    assert all(answer == (ALL, False) for answer in answers)


@pytest.mark.parametrize("store", ["elastic"], indirect=True)
def test_vectors_of_another_encoder_are_filled_before_the_switch_where_all_share_them(
    filled_kb: KnowledgeBase, admin_caller: Caller, during: Callable[..., None]
) -> None:
    backend, first = get_settings().encoder_backend, get_backend(get_settings().encoder_backend, Encoder)  # type: ignore[type-abstract]
    other, heard = HashingEncoder("other@1", dim=32), list[tuple[str, set[int]]]()
    during("put_vectors", lambda: heard.append((pair().vector.state(filled_kb.pk).built_with, pair().vector.ids(filled_kb.pk))))
    during("put_vectors", once(lambda: delete_entries(filled_kb, FAQ, [1])))
    use_backend(backend, other)
    rebuild(filled_kb, admin_caller)
    assert heard[0] == ("1:hashing@1", ALL)
    assert pair().vector.state(filled_kb.pk).built_with == "2:other@1"
    assert found(filled_kb, VECTOR) == (ALL - {1}, False)
    use_backend(backend, first)
    roll_back(filled_kb, admin_caller)
    assert pair().vector.state(filled_kb.pk).built_with == "1:hashing@1"
    assert found(filled_kb, VECTOR) == (ALL - {1}, False)


def test_an_edit_while_shared_vectors_are_filled_is_in_the_new_generation(
    filled_kb: KnowledgeBase, admin_caller: Caller, during: Callable[..., None]
) -> None:
    during("put_vectors" if pair().vector.is_shared else "put_texts", once(lambda: put(filled_kb, 1, 9)))
    rebuild(filled_kb, admin_caller)
    put(filled_kb, 10)
    assert found(filled_kb, VECTOR) == (ALL | {9, 10}, False)
    assert index_drifts(filled_kb) == []


def change_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (catching_up, building_aside):
        monkeypatch.setattr(module, "ANALYSIS", "another/1")


def test_another_analysis_builds_the_words_anew_before_a_command_goes_on(
    filled_kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, during: Callable[..., None]
) -> None:
    heard: list[set[int]] = []
    during("put_texts", lambda: heard.append({hit.id for hit in pair().lexical.search("annual leave", 50, scope_of([filled_kb]))}))
    change_analysis(monkeypatch)
    put(filled_kb, 9)
    assert found(filled_kb, LEXICAL) == (ALL | {9}, False)
    assert heard == [ALL | {9}]
    assert pair().lexical.state(filled_kb.pk).built_with == "another/1"


@threads
def test_a_server_answers_by_the_words_of_before_until_another_analysis_has_built_them_anew(
    filled_kb: KnowledgeBase, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, during: Callable[..., None]
) -> None:
    may_go_on = threading.Event()
    during("put_texts", lambda: may_go_on.wait(20))
    change_analysis(monkeypatch)
    follower().watch()
    put(filled_kb, 9)
    assert found(filled_kb, LEXICAL) == (ALL | {9}, False)
    delete_entries(filled_kb, FAQ, [1])
    assert found(filled_kb, LEXICAL) == ((ALL | {9}) - {1}, False)
    assert pair().lexical.state(filled_kb.pk).built_with == ANALYSIS
    may_go_on.set()
    until(lambda: pair().lexical.state(filled_kb.pk).built_with == "another/1")
    assert found(filled_kb, LEXICAL) == ((ALL | {9}) - {1}, False)


@threads
def test_a_server_answers_by_the_vectors_of_before_until_those_of_the_new_generation_are_filled(
    filled_kb: KnowledgeBase, admin_caller: Caller, store: str, during: Callable[..., None]
) -> None:
    may_go_on = threading.Event()
    if store == "embedded":
        during("put_vectors", lambda: may_go_on.wait(20))
    follower().watch()
    rebuild(filled_kb, admin_caller)
    put(filled_kb, 9)
    assert found(filled_kb, VECTOR) == (ALL | {9}, False)
    may_go_on.set()
    until(lambda: pair().vector.state(filled_kb.pk).built_with == "2:hashing@1")
    assert found(filled_kb, VECTOR) == (ALL | {9}, False)


@threads
def test_a_server_does_not_start_later_for_what_is_built_anew(
    filled_kb: KnowledgeBase, bot: Bot, monkeypatch: pytest.MonkeyPatch, during: Callable[..., None]
) -> None:
    may_go_on = threading.Event()
    during("put_texts", lambda: may_go_on.wait(20))
    close_followers()
    change_analysis(monkeypatch)
    warm_up()
    assert pair().lexical.state(filled_kb.pk).built_with == ANALYSIS
    may_go_on.set()
    until(lambda: pair().lexical.state(filled_kb.pk).built_with == "another/1")


def test_the_log_says_nothing_of_a_build_that_another_process_has_done(
    filled_kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    change_analysis(monkeypatch)
    for _process in range(2):
        renew(filled_kb.pk, FAQ, IndexPart.WORDS)
    said = [record.getMessage().split(" kb=")[0] for record in caplog.records if record.name == building_aside.__name__]
    assert said == ["index is built anew", "index switched"]


def test_a_repair_of_an_index_that_lacks_most_takes_nothing_away_meanwhile(filled_kb: KnowledgeBase, during: Callable[..., None]) -> None:
    index, heard = pair().lexical, list[set[int]]()
    with index.exclusive(filled_kb.pk):
        index.delete(filled_kb.pk, sorted(ALL - {7, 8}), as_of=index.state(filled_kb.pk).revision)
        index.refresh(filled_kb.pk, index.state(filled_kb.pk).revision)
    during("put_texts", lambda: heard.append(index.ids(filled_kb.pk)))
    repair(filled_kb, index_drifts(filled_kb))
    assert heard == [{7, 8}]
    assert found(filled_kb, LEXICAL) == (ALL, False)


def test_the_check_in_the_background_removes_what_a_killed_build_left(filled_kb: KnowledgeBase, store: str) -> None:
    index = pair().lexical
    if isinstance(index, ElasticLexicalIndex):
        index.create(filled_kb.pk, {})
        left = lambda: list(read_indexes(index.connection, index.alias(filled_kb.pk)).left_over)  # noqa: E731
    else:
        home = get_settings().data_dir / "indexes" / "faq" / str(filled_kb.pk) / "lexical"
        new_part(home)
        left = lambda: sorted(home.glob("part-*"))[1:]  # noqa: E731
    assert len(left()) == 1
    IndexChecker().check_all()
    assert (left(), found(filled_kb, LEXICAL)) == ([], (ALL, False))


@pytest.mark.parametrize("store", ["embedded"], indirect=True)
def test_the_check_goes_on_with_the_next_base_where_one_is_deleted_meanwhile(
    filled_kb: KnowledgeBase, other: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower().follow(other.pk, 0)
    checked = list[str]()

    def check(kb: KnowledgeBase, keeping: IndexFollower) -> list[Drift]:
        KnowledgeBase.objects.filter(pk=filled_kb.pk).delete()
        checked.append(kb.slug)
        return find_index_drift(kb, keeping)

    monkeypatch.setattr(checking, "find_index_drift", check)
    IndexChecker().check_all()
    assert sorted(checked) == sorted([filled_kb.slug, other.slug])
