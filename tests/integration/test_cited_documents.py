"""From an answer to the document behind it: who is led there, to which place, and that nobody else learns anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.keys import create_key
from apps.accounts.models import Membership, User
from apps.accounts.permissions import AccessRole
from apps.dialogue.models import Bot, Conversation, Turn
from apps.retrieval.documents.readings import Reading, draft_of
from apps.retrieval.documents.rows import DocumentRow
from apps.retrieval.documents.services import delete_documents, save_documents
from apps.retrieval.models import Document, KnowledgeBase
from apps.retrieval.parsing.parsed import Block, BlockKind
from core.types import Source
from tests.documents import WRITER, put_document

pytestmark = pytest.mark.django_db
TEXT = "Leave is booked with HR. Unused days expire in March. Sick leave is not counted."
PAGE = "/search/hr/documents/rules.pdf/"


def source_in(text: str, said: str, *, document: str = "rules.pdf") -> Source:
    """The whole text as it is cited, with what the answer says word for word marked."""
    at = text.index(said)
    marks = ((at, at + len(said)),)
    return Source(kind="passage", id="7", title="Rules", text=text, score=0.9, document=document, start=0, end=len(text), marks=marks)


@pytest.fixture
def rules(kb: KnowledgeBase) -> Document:
    return put_document(kb, "rules.pdf", TEXT, title="Rules")


@pytest.fixture
def turn(bot: Bot, rules: Document) -> Turn:
    """An answer that nobody in particular asked for, out of `rules`."""
    return answered(bot, [source_in(TEXT, "Unused days expire in March.")])


def answered(bot: Bot, sources: Sequence[Source], *, owner: str = "") -> Turn:
    conversation = Conversation.objects.create(bot=bot, owner=owner)
    rows = [source.as_dict() for source in sources]
    return Turn.objects.create(conversation=conversation, question="?", state="finished", answered=True, sources=rows)


def links(client: Client | APIClient, turn: Turn) -> list[dict[str, str]]:
    answer = client.get(f"/api/v1/turns/{turn.pk}/documents")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, str]] = answer.json()["documents"]
    return found


def person(kb: KnowledgeBase, role: str = "", *groups: str) -> Client:
    user = User.objects.create_user("vera")
    for name in groups:
        user.groups.create(name=name)
    if role:
        Membership.objects.create(user=user, kb=kb, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("role", "groups", "access", "is_open", "led"),
    [
        (None, (), (), False, False),
        (None, (), (), True, True),
        (None, (), ("directors",), True, False),
        ("", (), (), False, False),
        ("asker", (), (), False, False),
        ("viewer", (), (), False, True),
        ("viewer", (), ("directors",), False, False),
        ("viewer", ("directors",), ("directors",), False, True),
        ("editor", (), ("directors",), False, True),
    ],
)
def test_who_may_open_the_page_of_a_document_is_led_there_and_nobody_else(
    kb: KnowledgeBase,
    rules: Document,
    turn: Turn,
    role: str | None,
    groups: tuple[str, ...],
    access: tuple[str, ...],
    is_open: bool,
    led: bool,
) -> None:
    KnowledgeBase.objects.update(open_search=is_open)
    Document.objects.update(access=list(access))
    client = Client() if role is None else person(kb, role, *groups)
    found = links(client, turn)
    assert found == ([{"source": "7", "url": f"{PAGE}?at=25-53"}] if led else [])
    assert (client.get(PAGE).status_code == 200) is led


def test_the_link_leads_to_the_words_of_the_answer(kb: KnowledgeBase, turn: Turn) -> None:
    client = person(kb, "viewer")
    page = client.get(links(client, turn)[0]["url"]).content.decode()
    assert '<span id="found" class="reading-found">Unused days expire in March.</span> Sick leave' in page


def test_the_page_tells_on_which_page_of_its_source_the_cited_passage_stands(kb: KnowledgeBase, bot: Bot) -> None:
    texts = ["The network needs a token.", "Employees have ten days of annual leave.", "Sick leave is not counted."]
    blocks = tuple(Block(kind=BlockKind.PARAGRAPH, text=text, page=page) for page, text in enumerate(texts, 1))
    [document] = save_documents(kb, [draft_of(Reading(row=DocumentRow(id="rules.pdf", text=""), blocks=blocks))], WRITER).documents
    client = person(kb, "viewer")
    for number, text in enumerate(texts, 1):
        page = client.get(links(client, answered(bot, [source_in(document.text, text)]))[0]["url"]).content.decode()
        assert f'<span class="badge reading-page">page {number}</span><span id="found" class="reading-found">{text}</span>' in page


def test_a_place_far_into_a_long_document_is_shown_with_what_stands_around_it(
    kb: KnowledgeBase, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.retrieval.search.pages.SHOWN_CHARS", 100)
    text = "\n".join(f"This is line {number:03}." for number in range(100))
    put_document(kb, "rules.pdf", text)
    client = person(kb, "viewer")
    page = client.get(links(client, answered(bot, [source_in(text, "line 070.")]))[0]["url"]).content.decode()
    assert (
        '<div class="reading-text">This is line 068.\nThis is line 069.\nThis is <span id="found" class="reading-found">line 070.</span>'
        in page
    )
    assert "Only the part around what was found is shown here." in page and "The text goes on." in page and "line 080." not in page


def test_a_document_that_says_something_else_by_now_opens_at_its_beginning(kb: KnowledgeBase, turn: Turn) -> None:
    put_document(kb, "rules.pdf", "New rules. Everything else has changed.")
    assert links(person(kb, "viewer"), turn) == [{"source": "7", "url": PAGE}]


def test_a_document_of_the_same_id_in_another_base_is_not_taken_for_it(
    kb: KnowledgeBase, other: KnowledgeBase, bot: Bot, turn: Turn
) -> None:
    bot.kbs.add(other)
    put_document(other, "rules.pdf", "Rules of another house.")
    client = person(other, "viewer")
    assert links(client, turn) == []
    put_document(kb, "rules.pdf", "New rules.")  # what is cited stands in neither now
    assert links(client, turn) == []


@pytest.mark.parametrize("kind", ["deleted", "archived", "of another bot"])
def test_what_is_no_document_of_the_bot_any_more_has_no_link(kb: KnowledgeBase, bot: Bot, rules: Document, turn: Turn, kind: str) -> None:
    if kind == "deleted":
        delete_documents(kb, [rules], WRITER)
    elif kind == "archived":
        put_document(kb, "rules.pdf", TEXT, title="Rules", status="archived")
    else:
        bot.kbs.clear()
    assert links(person(kb, "editor"), turn) == []


def test_sources_that_are_no_passages_have_no_link(kb: KnowledgeBase, bot: Bot, rules: Document) -> None:
    plain = source_in(TEXT, "Leave")
    others = [replace(plain, kind="faq"), replace(plain, document=None), replace(plain, start=None), replace(plain, document="none.pdf")]
    assert links(person(kb, "viewer"), answered(bot, others)) == []


def test_ids_are_part_of_an_address_whatever_they_hold(kb: KnowledgeBase, bot: Bot) -> None:
    put_document(kb, "a/b?c#d%2F 年.pdf", TEXT)
    client = person(kb, "viewer")
    [link] = links(client, answered(bot, [source_in(TEXT, "Leave", document="a/b?c#d%2F 年.pdf")]))
    assert link["url"] == "/search/hr/documents/a%2Fb%3Fc%23d%252F%20%E5%B9%B4.pdf/?at=0-5"
    assert client.get(link["url"]).status_code == 200


def test_who_may_not_read_a_conversation_is_told_nothing_of_its_documents(kb: KnowledgeBase, bot: Bot, rules: Document) -> None:
    turn = answered(bot, [source_in(TEXT, "Leave")], owner="user:999")
    assert person(kb, "viewer").get(f"/api/v1/turns/{turn.pk}/documents").status_code == 404


def test_a_key_made_for_a_bot_as_a_widget_has_is_led_nowhere(kb: KnowledgeBase, bot: Bot, turn: Turn) -> None:
    KnowledgeBase.objects.update(open_search=True)
    _key, text = create_key(name="site", role=AccessRole.ASKER, bot_id=bot.pk)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert links(client, turn) == []


def test_answers_and_conversations_carry_no_address_of_a_document(api: APIClient, kb: KnowledgeBase, bot: Bot, turn: Turn) -> None:
    """They look the same to everybody: what a reader may open is asked for apart."""
    answer = api.post(f"/api/v1/bots/{bot.slug}/ask", {"question": "When do unused days expire?"}, format="json")
    history = api.get(f"/api/v1/conversations/{turn.conversation_id}")
    assert answer.json()["sources"][0]["document"] == "rules.pdf"
    assert b"/search/" not in answer.content + history.content


@pytest.mark.parametrize(("role", "offered"), [(None, False), ("asker", False), ("viewer", True)])
def test_the_chat_asks_for_links_only_where_there_may_be_some(kb: KnowledgeBase, bot: Bot, role: str | None, offered: bool) -> None:
    client = Client() if role is None else person(kb, role)
    [shown] = [one for one in client.get("/").context["bots"] if one["slug"] == bot.slug]
    assert shown["may_open_documents"] is offered
