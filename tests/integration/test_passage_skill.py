"""The passage skill: answers out of documents, with their source, or stays silent; FAQs come first."""

from __future__ import annotations

from threading import Event

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.permissions import ANYBODY, Caller
from apps.dialogue.models import Bot
from apps.dialogue.turns import TurnRequest, answer_turn
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.documents.passage_questions import save_questions
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.services import save_documents
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.parsing.parsed import Block, BlockKind
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.search.nearest import encode_question
from apps.retrieval.selectors import scope_of
from apps.retrieval.skill import PassageSkill, answer_of, read_hits
from core.events import TurnFinished
from core.text import guess_locale, normalize
from core.types import Match, Query
from tests.documents import WRITER, put_document, put_documents

pytestmark = pytest.mark.django_db
LEAVE = "Employees have ten days of annual leave. Unused days expire in March. Sick leave is not counted."


def query_of(kb: KnowledgeBase, text: str) -> Query:
    return Query(
        text=text, normalized=normalize(text), locale=guess_locale(text), scope=scope_of([kb]), turn="t", encoded=encode_question(text)
    )


def match(kb: KnowledgeBase, text: str) -> Match:
    found = PassageSkill().match(query_of(kb, text))
    assert found is not None
    return found


def ask(bot: Bot, text: str) -> TurnFinished:
    *_, end = answer_turn(TurnRequest(bot=bot, caller=ANYBODY, text=text), Event())
    assert isinstance(end, TurnFinished)
    return end


def test_a_question_is_answered_with_the_sentence_that_has_its_words(bot: Bot, kb: KnowledgeBase) -> None:
    put_documents(kb, leave=LEAVE, vpn="The network needs a token. Ask the help desk.")
    end = ask(bot, "When do unused days expire?")
    assert (end.answered, end.skill) == (True, "passage")
    assert "Unused days expire in March." in end.answer
    assert "Sick leave" not in end.answer


def test_the_source_names_document_address_and_text(bot: Bot, kb: KnowledgeBase) -> None:
    put_document(kb, "leave", LEAVE, title="Handbook", url="https://example.org/handbook")
    (source,) = ask(bot, "When do unused days expire?").sources
    assert (source.kind, source.document, source.title, source.url) == ("passage", "leave", "Handbook", "https://example.org/handbook")
    assert source.text in LEAVE and 0 < source.score <= 1


def test_a_sentence_is_cited_on_the_page_on_which_it_stands(bot: Bot, kb: KnowledgeBase) -> None:
    texts = ["The network needs a token.", "Employees have ten days of annual leave.", "Sick leave is not counted."]
    blocks = tuple(Block(kind=BlockKind.PARAGRAPH, text=text, page=page) for page, text in enumerate(texts, 1))
    save_documents(kb, [draft_of(Reading(row=DocumentRow(id="a.pdf", text=""), blocks=blocks))], WRITER)
    assert [source.page for source in ask(bot, "How many days of annual leave do employees have?").sources] == [2]


def test_the_sentences_of_an_answer_are_marked_in_their_source_at_its_place(bot: Bot, kb: KnowledgeBase) -> None:
    document = put_document(kb, "leave", f"𠮷野家 {'Soup and fish, then cheese. ' * 30}\n\n{LEAVE}", title="Handbook")
    end = ask(bot, "When do unused days expire?")
    (source,) = end.sources
    assert document.text[source.start : source.end] == source.text
    assert source.start > 0 and document.text[source.start - 1].isspace()
    said = [source.text[start:stop] for start, stop in source.marks]
    assert "Unused days expire in March." in said and all(sentence in end.answer for sentence in said)


def test_the_very_question_that_a_curator_gave_a_passage_is_answered_from_it_alone(bot: Bot, kb: KnowledgeBase) -> None:
    put_documents(kb, leave=LEAVE, vpn="The network needs a token. Ask the help desk.", chapel="The chapel is painted white.")
    passage = kb.documents.get(external_id="vpn").passages.get()
    assert not ask(bot, "Who painted the ceiling?").answered
    save_questions(kb, passage, ["Who painted the ceiling?"], WRITER)
    end = ask(bot, "who painted  the ceiling？")
    assert (end.answered, end.confidence, [source.document for source in end.sources]) == (True, 1.0, ["vpn"])
    assert not ask(bot, "Who is the Pope?").answered


def test_a_question_that_no_sentence_meets_is_not_answered(bot: Bot, kb: KnowledgeBase) -> None:
    put_documents(kb, leave=LEAVE)
    end = ask(bot, "Who painted the ceiling of the chapel?")
    assert (end.answered, end.skill, end.sources) == (False, None, ())


@pytest.mark.parametrize(
    ("question", "answered"),
    [("How heavy is the CX-6?", True), ("How heavy is the CX-9?", False), ("How heavy is the CX 6?", True)],
)
def test_what_is_said_of_one_model_is_no_answer_about_another(bot: Bot, kb: KnowledgeBase, question: str, answered: bool) -> None:
    put_documents(kb, cx="The CX-6 is heavy: 9 kg. Its rotor holds six tubes.", vpn="The network needs a token. Ask the help desk.")
    end = ask(bot, question)
    assert (end.answered, "9 kg" in end.answer) == (answered, answered)


def test_an_faq_that_is_the_question_comes_first(bot: Bot, kb: KnowledgeBase, admin_caller: Caller) -> None:
    put_documents(kb, leave="When do unused days expire? Unused days expire in March.")
    save_faqs(kb, [parse_row({"id": "days", "questions": ["When do unused days expire?"], "answer": "In April."})], admin_caller)
    end = ask(bot, "When do unused days expire?")
    assert (end.skill, end.answer) == ("faq", "In April.")


def test_a_base_without_documents_costs_the_skill_no_query(kb: KnowledgeBase) -> None:
    query = query_of(kb, "anything")
    PassageSkill().match(query)
    with CaptureQueriesContext(connection) as queries:
        assert PassageSkill().match(query) is None
    assert len(queries) == 0


def test_the_trace_shows_candidates_and_what_confidence_is_made_of(kb: KnowledgeBase) -> None:
    put_documents(kb, leave=LEAVE)
    why = match(kb, "annual leave days").why
    assert why["candidates"][0]["id"] == "leave"
    assert set(why["candidates"][0]["contributions"]) >= {"cosine", "bm25"}
    assert "sentence_words" in why["reasons"]


def test_the_trace_names_the_extra_question_that_found_a_candidate_and_the_words_they_share(kb: KnowledgeBase) -> None:
    passages = {
        id: document.passages.get() for id, document in put_documents(kb, leave=LEAVE, vpn="Ask the help desk for a token.").items()
    }
    save_questions(kb, passages["vpn"], ["Why is logging in from home refused?"], WRITER)
    candidates = {row["id"]: row for row in match(kb, "Home login refused").why["candidates"]}
    assert candidates["vpn"]["question"] == {"text": "Why is logging in from home refused?", "terms": ["home", "refus"]}
    assert "question" not in candidates.get("leave", {})


def test_sentences_of_two_documents_stand_in_lines_of_their_own(kb: KnowledgeBase) -> None:
    put_documents(kb, a="The old bridge was built in 1900.", b="The new bridge was built in 2000.")
    text = "When was the bridge built?"
    query = query_of(kb, text)
    reading = read_hits(text, query.encoded, query.scope, search_passages(text, query.encoded, query.scope).hits)
    assert sorted(answer_of(reading).split("\n")) == ["The new bridge was built in 2000.", "The old bridge was built in 1900."]


def test_what_two_documents_say_in_the_same_words_is_said_once(kb: KnowledgeBase) -> None:
    put_documents(kb, a="The old bridge was built in 1900.", b="The old  bridge was built in 1900.")
    text = "When was the old bridge built?"
    query = query_of(kb, text)
    reading = read_hits(text, query.encoded, query.scope, search_passages(text, query.encoded, query.scope).hits)
    assert " ".join(answer_of(reading).split()) == "The old bridge was built in 1900."


def test_chinese_sentences_are_joined_without_blanks(kb: KnowledgeBase) -> None:
    put_documents(kb, 假期="员工每年有十天年假。未休的年假在三月失效。")
    text = "未休的年假什么时候失效"
    query = query_of(kb, text)
    reading = read_hits(text, query.encoded, query.scope, search_passages(text, query.encoded, query.scope).hits)
    assert answer_of(reading) == "员工每年有十天年假。未休的年假在三月失效。"


def test_sentences_of_two_paragraphs_are_not_glued_together(kb: KnowledgeBase) -> None:
    put_documents(kb, 假期="年假安排在年底。\n\n未休的年假在三月失效。")
    text = "未休的年假什么时候失效"
    query = query_of(kb, text)
    reading = read_hits(text, query.encoded, query.scope, search_passages(text, query.encoded, query.scope).hits)
    assert answer_of(reading) == "年假安排在年底。\n未休的年假在三月失效。"


def test_a_heading_is_no_answer(kb: KnowledgeBase) -> None:
    put_documents(
        kb, guide="Warranty and repair of the kettle\n\nIt is covered for two years.\n\nDelivery\n\nThe courier calls before he comes."
    )
    text = "Warranty and repair of the kettle?"
    query = query_of(kb, text)
    reading = read_hits(text, query.encoded, query.scope, search_passages(text, query.encoded, query.scope).hits)
    assert answer_of(reading) == "It is covered for two years. … The courier calls before he comes."


def test_a_row_of_a_table_answers_under_the_names_of_its_columns(bot: Bot, kb: KnowledgeBase) -> None:
    table = "Model | Warranty | Price\nX100 | 24 months | €99\nX200 | 36 months | €149\nMini | 12 months | €49"
    blocks = (
        Block(kind=BlockKind.PARAGRAPH, text="We make machines in three sizes."),
        Block(kind=BlockKind.TABLE, text=table),
    )
    save_documents(kb, [draft_of(Reading(row=DocumentRow(id="shop.html", text=""), blocks=blocks))], WRITER)
    end = ask(bot, "What is the warranty of the X200?")
    assert end.answer == "Model: X200; Warranty: 36 months; Price: €149"
    (source,) = end.sources
    assert [source.text[start:stop] for start, stop in source.marks] == ["X200", "36 months", "€149"]
    assert kb.documents.get().text[source.start : source.end] == source.text
