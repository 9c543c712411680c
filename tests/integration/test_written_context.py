"""Answers that a generator writes from passages and what stands around them: what it is given, and what is named as their source."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.permissions import ANYBODY
from apps.dialogue.models import Bot
from apps.dialogue.turns import TurnRequest, answer_turn
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.services import save_documents
from apps.retrieval.grounding.sections import REACH, read_surroundings
from apps.retrieval.models import Document, KnowledgeBase, Passage
from apps.retrieval.parsing.parsed import Block, BlockKind
from apps.retrieval.selectors import scope_of
from core.backends import use_backend
from core.config import get_settings
from core.events import TurnFinished
from core.types import Scope
from tests.documents import WRITER, put_document
from tests.generators import ScriptedGenerator

pytestmark = pytest.mark.django_db
FILLER = [f"Form {number} is kept for {number} years by the office of the north desk." for number in range(30, 55)]
TOLD = "The warranty of the pump ends after 24 months."
ASKED = "What does the seal of the pump cost?"
PRICE = "The seal of the pump costs 12 euros."


def put_manual(kb: KnowledgeBase, **fields: object) -> Document:
    """A document on two pages: a section that is longer than a passage, and another one."""
    texts = [" ".join([*FILLER[:12], *FILLER[12:22], TOLD]), " ".join([PRICE, *FILLER[:22]])]
    blocks = [
        Block(kind=BlockKind.HEADING, text="Pump", level=1, page=1),
        *(Block(kind=BlockKind.PARAGRAPH, text=text, page=page) for page, text in enumerate(texts, 1)),
        Block(kind=BlockKind.HEADING, text="Garden", level=1, page=3),
        Block(kind=BlockKind.PARAGRAPH, text=" ".join(FILLER), page=3),
    ]
    row = DocumentRow(id="manual", text="", title="Manual", **fields)  # type: ignore[arg-type]
    return save_documents(kb, [draft_of(Reading(row=row, blocks=tuple(blocks)))], WRITER).documents[0]


def passage_with(text: str) -> Passage:
    return Passage.objects.get(text__contains=text)


def ask(bot: Bot, *said: str) -> tuple[TurnFinished, str]:
    """The end of the turn, and the prompt."""
    bot.document_answers = "generate"
    bot.save()
    generator = ScriptedGenerator(*said)
    use_backend(get_settings().generator_backend, generator)
    *_, end = answer_turn(TurnRequest(bot=bot, caller=ANYBODY, text=ASKED), Event())
    assert isinstance(end, TurnFinished)
    return end, generator.requests[-1].messages[-1][1]


def test_a_section_is_read_no_further_than_its_ends(kb: KnowledgeBase) -> None:
    document, passage = put_manual(kb), passage_with(PRICE)
    near = read_surroundings([passage.pk], scope_of([kb]))[passage.pk]
    assert near.text == document.text[near.start : near.end]
    assert "Garden" not in near.text and TOLD in near.text
    assert near.start == max(passage.section_start, passage.start - REACH) and near.cut_before == (near.start > passage.section_start)
    assert (near.page_at(passage.start), near.page_at(passage.start - 10)) == (2, 1)


def test_the_sections_of_all_passages_are_one_query(kb: KnowledgeBase) -> None:
    for name in ("a", "b", "c"):
        put_document(kb, name, " ".join(FILLER), title=name)
    passages, scope = list(Passage.objects.values_list("pk", flat=True)), scope_of([kb])
    with CaptureQueriesContext(connection) as queries:
        assert set(read_surroundings(passages, scope)) == set(passages)
    assert len(passages) > 3 and len(queries) == 1


@pytest.mark.parametrize("change", [{"status": "archived"}, {"status": "draft"}, {"access": ["staff"]}, {"text": "Another text."}])
def test_what_may_no_longer_be_seen_or_has_changed_gives_no_context(kb: KnowledgeBase, change: dict[str, object]) -> None:
    put_manual(kb)
    passage, scope = passage_with(PRICE), scope_of([kb])
    Document.objects.update(**change)
    assert read_surroundings([passage.pk], scope) == {}


def test_an_access_list_lets_its_groups_read_on(kb: KnowledgeBase) -> None:
    put_manual(kb, access=("staff",))
    passage = passage_with(PRICE).pk
    assert read_surroundings([passage], scope_of([kb], groups=("Staff",)))
    assert not read_surroundings([passage], scope_of([kb], groups=("press",)))
    assert not read_surroundings([passage], Scope(kb_ids=(), groups=("staff",)))


def test_the_prompt_has_the_section_around_the_passage_and_its_sentence_a_source_that_holds_it(bot: Bot, kb: KnowledgeBase) -> None:
    document = put_manual(kb)
    assert TOLD not in passage_with(PRICE).text
    end, prompt = ask(bot, f"{PRICE} {TOLD}")
    assert PRICE in prompt and TOLD in prompt and prompt.count(TOLD) == 1
    assert end.answer.count("[1]") == 2
    source = end.sources[0]
    assert document.text[source.start : source.end] == source.text
    assert TOLD in source.text and PRICE in source.text
    assert (source.document, source.page) == ("manual", 1)


def test_without_tokens_for_context_passages_stand_alone(bot: Bot, kb: KnowledgeBase, configure: Callable[..., None]) -> None:
    configure(prompt_context_tokens=0, prompt_max_tokens=420)
    put_manual(kb)
    end, prompt = ask(bot, PRICE)
    assert PRICE in prompt and TOLD not in prompt
    assert end.sources[0].text.startswith(PRICE)


def test_passages_and_context_stay_within_the_tokens_of_a_prompt(bot: Bot, kb: KnowledgeBase, configure: Callable[..., None]) -> None:
    put_manual(kb)
    lengths = []
    for tokens in (300, 500, 700):
        configure(prompt_max_tokens=tokens, prompt_context_tokens=1000)
        lengths.append(len(ask(bot, PRICE)[1]))
    assert lengths == sorted(set(lengths)) and lengths[0] < 300 * 6 + 1000
