"""What do people and operators see while Elasticsearch is away? Answers by what is left, marked degraded, and no failed turn."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from threading import Event

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.permissions import ANYBODY, Caller
from apps.dialogue.models import Bot
from apps.dialogue.turns import TurnRequest, answer_turn
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.indexes import breaker
from apps.retrieval.indexes.elastic_connection import open_client, shared_connection
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.checking import IndexChecker
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.verification import find_drift
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.search.nearest import encode_question
from apps.retrieval.selectors import scope_of
from core.config import Settings
from core.errors import QAError, SearchUnavailable
from core.events import TurnFinished
from core.types import EntryKind, SearchMode
from tests.documents import put_documents
from tests.elastic import Gate, drop_indexes, elasticsearch_url
from tests.indexed_entries import pair

pytestmark = pytest.mark.django_db
WORDS = "apps.retrieval.indexes.elastic_lexical.ElasticLexicalIndex"
VECTORS = "apps.retrieval.indexes.elastic_vector.ElasticVectorIndex"


@pytest.fixture
def gate(configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Words are searched in Elasticsearch, behind a gate; nobody waits long to try again."""
    monkeypatch.setattr(breaker, "PAUSE_S", 0.0)
    monkeypatch.setattr("apps.retrieval.outbox.follower.UNREACHABLE_S", 0.0)
    gate, prefix = Gate(), f"t{uuid.uuid4().hex[:12]}"
    configure(lexical_index=WORDS, elasticsearch_url=gate.url, elasticsearch_prefix=prefix)
    yield gate
    follower().close()
    gate.shut()
    client = open_client(Settings(elasticsearch_url=elasticsearch_url()))
    drop_indexes(client, prefix)
    client.close()


def add(kb: KnowledgeBase, caller: Caller, **questions: str) -> None:
    rows = [{"id": id, "questions": [question], "answer": f"Answer {id}."} for id, question in questions.items()]
    save_faqs(kb, [parse_row(row) for row in rows], caller)


def ask(bot: Bot, text: str) -> TurnFinished:
    *_, end = answer_turn(TurnRequest(bot=bot, caller=ANYBODY, text=text, conversation=None), Event())
    assert isinstance(end, TurnFinished), end
    return end


def said(bot: Bot, text: str) -> tuple[str, bool]:
    """What a question was answered with, and whether something was missing."""
    end = ask(bot, text)
    return end.answer, end.degraded


def test_turns_are_answered_throughout_and_all_is_well_afterwards(gate: Gate, bot: Bot, kb: KnowledgeBase, admin_caller: Caller) -> None:
    add(kb, admin_caller, leave="How many days of annual leave are there?", pay="When is payday?")
    assert said(bot, "When is payday?") == ("Answer pay.", False)
    gate.shut()
    assert [said(bot, "when is payday") for _ in range(5)] == [("Answer pay.", True)] * 5
    assert ask(bot, "annual leave, how many days are there?").degraded
    gate.reopen()
    assert said(bot, "When is payday?") == ("Answer pay.", False)


def test_what_is_written_meanwhile_is_found_by_vectors_and_by_words_later(
    gate: Gate, bot: Bot, kb: KnowledgeBase, admin_caller: Caller
) -> None:
    add(kb, admin_caller, pay="When is payday?")
    ask(bot, "When is payday?")
    gate.shut()
    add(kb, admin_caller, food="Where is the canteen?")
    assert said(bot, "Where is the canteen?") == ("Answer food.", True)
    words, vectors = pair().lexical, pair().vector
    assert len(vectors.ids(kb.pk)) == 2
    gate.reopen()
    assert said(bot, "Where is the canteen?") == ("Answer food.", False)
    assert words.ids(kb.pk) == vectors.ids(kb.pk)


def test_with_words_and_vectors_away_the_very_question_is_still_answered(
    gate: Gate, configure: Callable[..., None], bot: Bot, kb: KnowledgeBase, admin_caller: Caller
) -> None:
    configure(vector_index=VECTORS)
    add(kb, admin_caller, pay="When is payday?")
    assert said(bot, "When is payday?") == ("Answer pay.", False)
    gate.shut()
    assert said(bot, "when is payday?") == ("Answer pay.", True)
    end = ask(bot, "something else entirely")
    assert (end.answered, end.degraded) == (False, True)


def test_documents_are_found_by_what_is_left_and_marked(gate: Gate, kb: KnowledgeBase) -> None:
    put_documents(kb, travel="Travel costs are refunded within thirty days. Keep every receipt.")
    question = "How are travel costs refunded?"

    def found(mode: SearchMode) -> tuple[list[str], bool]:
        result = search_passages(question, encode_question(question), scope_of([kb], ()), mode=mode)
        return [hit.passage.document for hit in result.hits], result.degraded

    assert found(SearchMode.HYBRID) == (["travel"], False)
    gate.shut()
    assert found(SearchMode.HYBRID) == (["travel"], True)
    with pytest.raises(SearchUnavailable):
        found(SearchMode.LEXICAL)
    put_documents(kb, leave="Unused days of annual leave expire in March.")
    documents, degraded = found(SearchMode.VECTOR)
    assert (sorted(documents), degraded) == (["leave", "travel"], True)
    gate.reopen()
    assert found(SearchMode.LEXICAL) == (["travel"], False)


def test_verify_index_says_that_it_cannot_compare(gate: Gate, bot: Bot, kb: KnowledgeBase, admin_caller: Caller) -> None:
    add(kb, admin_caller, pay="When is payday?")
    ask(bot, "When is payday?")
    gate.shut()
    with pytest.raises((CommandError, QAError), match="Elasticsearch"):
        call_command("verify_index", "--kb", kb.slug, stdout=io.StringIO())


def by_command(kb: KnowledgeBase) -> None:
    call_command("verify_index", "--kb", kb.slug, "--repair", stdout=io.StringIO())


def in_the_background(kb: KnowledgeBase) -> None:
    IndexChecker().check_all()


@pytest.mark.parametrize("mend", [by_command, in_the_background])
def test_drift_in_elasticsearch_is_counted_and_mended(
    gate: Gate, bot: Bot, kb: KnowledgeBase, admin_caller: Caller, mend: Callable[[KnowledgeBase], None]
) -> None:
    add(kb, admin_caller, **{f"q{n}": f"Question number {n}?" for n in range(8)})
    ask(bot, "Question number 3?")
    index = indexes_for(EntryKind.FAQ).lexical
    lost = sorted(index.ids(kb.pk))[:2]
    stray = {"id": 999_999, "words": "question"}
    shared_connection().patient(lambda client: client.index(index=index.alias(kb.pk), id="999999", document=stray))  # type: ignore[attr-defined]
    with index.exclusive(kb.pk):
        index.delete(kb.pk, lost, as_of=index.state(kb.pk).revision)
        index.refresh(kb.pk, index.state(kb.pk).revision)
    (drift,) = [drift for drift in find_drift(kb) if drift.count]
    assert (drift.place, sorted(drift.missing), drift.stray) == ("lexical", lost, {999_999})
    mend(kb)
    assert [drift for drift in find_drift(kb) if drift.count] == []
