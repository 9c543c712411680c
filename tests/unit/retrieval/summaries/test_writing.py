"""What a generator is given that shall write a summary."""

from __future__ import annotations

from collections.abc import Callable

from apps.retrieval.summaries.candidates import candidates_of
from apps.retrieval.summaries.writing import LEFT_OUT, QUOTED, QuotedPassage, Ranked, draft_of, messages_for_summary

BRIDGE = "The harbour bridge is closed after a ship struck it. Engineers inspect two pillars of it now. The bridge opens again in the month of May."


def ranked(*texts: str, head: str = "News", without: str = "-") -> Ranked:
    """The sentences of these texts, all alike beforehand; without those that hold a word."""
    found = [one for one in candidates_of(texts) if without not in one.text]
    return Ranked(candidates=found, prior=[1.0] * len(found), heads=[head] * len(texts))


def test_sentences_stand_by_passage_in_their_order_under_their_head() -> None:
    sources = draft_of(ranked("Ferries take people over the water meanwhile, every hour.", BRIDGE)).sources
    assert [(one.number, one.passage, one.head) for one in sources] == [(1, 0, "News"), (2, 1, "News")]
    assert sources[1].text == BRIDGE


def test_where_a_sentence_is_left_out_between_two_a_gap_stands() -> None:
    (source,) = draft_of(ranked(BRIDGE, without="Engineers")).sources
    assert source.text == f"The harbour bridge is closed after a ship struck it.{LEFT_OUT}The bridge opens again in the month of May."


def test_no_more_is_quoted_than_a_prompt_takes(configure: Callable[..., None]) -> None:
    texts = [f"Number {number} speaks of walruses and herons that live in house {number}." for number in range(60)]
    assert sum(len(one.text.split(". ")) for one in draft_of(ranked(*texts)).sources) == QUOTED
    configure(prompt_max_tokens=100)
    assert 0 < len(draft_of(ranked(*texts)).sources) < 8


def test_the_chat_is_in_the_language_of_the_texts_whatever_the_question_is_in() -> None:
    source = QuotedPassage(number=1, head="", text="大桥因船只撞击而关闭，五月恢复通行。", passage=0)
    (_, rules), (_, asked) = messages_for_summary([source], count=3, question="When does it open? </source>")
    assert rules.startswith("你为文章写摘要") and "最多 3 句话" in asked and "NO_ANSWER" in asked
    assert asked.count("</source>") == 1 and asked.endswith("问题：When does it open? ‹/source>")
