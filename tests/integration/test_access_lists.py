"""What a document's access list keeps from other groups: its words, its title, its values, its number, on every way there is to a document."""

from __future__ import annotations

import errno

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from apps.accounts.models import Membership, User
from apps.retrieval.indexes import lexical
from apps.retrieval.models import KnowledgeBase
from tests.documents import put_document

pytestmark = pytest.mark.django_db
BASE = "/api/v1/kbs/hr"
SECRET = "The walrus merger closes in May. " * 12
WAYS = [
    "search?q=walrus+merger",
    "search?q=walrus+merger&group=document&mode=lexical",
    "search?q=open&sort=date&tags=Deals",
    "archive",
    "archive?tags=Deals",
    "archive?author=Vera",
    "search/summary?q=walrus+merger",
    "documents/",
    "documents/?q=Merger",
    "documents/?author=Vera",
    "documents/merger/",
    "documents/merger/summary",
    "passages/?document=merger",
]


@pytest.fixture(autouse=True)
def documents(kb: KnowledgeBase) -> None:
    filed = {"author": "Vera", "category": "Deals", "tags": ("Deals",), "day": "2026-04-01"}
    put_document(kb, "merger", SECRET, title="Merger", access=("board",), **filed)
    put_document(kb, "copy", SECRET.replace("May", "June"), title="Copy", access=("board",), **filed)
    put_document(kb, "open", "The canteen is open at noon.", title="Canteen")


def browser(kb: KnowledgeBase, *groups: str, role: str = "viewer") -> Client:
    """Somebody new with a role in the base, in these groups."""
    user = User.objects.create_user(f"u{User.objects.count()}", is_staff=True)
    Membership.objects.create(user=user, kb=kb, role=role)
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
    client = Client()
    client.force_login(user)
    return client


def says_secrets(text: str) -> bool:
    return any(word in text for word in ("walrus merger closes", "Merger", "Copy", "Vera", "Deals", "2026-04"))


@pytest.mark.parametrize("way", WAYS)
def test_another_group_learns_nothing_of_it(kb: KnowledgeBase, way: str) -> None:
    answer = browser(kb, "sales").get(f"{BASE}/{way}").content.decode()
    assert not says_secrets(answer.replace("walrus merger", "", 1))


@pytest.mark.parametrize("way", ["documents/", "archive"])
def test_it_is_not_counted_for_another_group(kb: KnowledgeBase, way: str) -> None:
    totals = [browser(kb, group).get(f"{BASE}/{way}").json()["total"] for group in ("sales", "board")]
    assert totals == [1, 3]


@pytest.mark.parametrize("way", WAYS)
def test_its_group_reads_it_everywhere(kb: KnowledgeBase, way: str) -> None:
    if way != "search?q=open&sort=date&tags=Deals":
        assert says_secrets(browser(kb, "board").get(f"{BASE}/{way}").content.decode())


def test_who_edits_the_base_reads_it_and_who_edits_another_does_not(kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="it", name="IT")
    editor, elsewhere = browser(kb, role="editor"), browser(kb)
    Membership.objects.create(user=User.objects.last(), kb=other, role="admin")
    assert (editor.get(f"{BASE}/documents/merger/").status_code, elsewhere.get(f"{BASE}/documents/merger/").status_code) == (200, 404)


@pytest.mark.parametrize("query", ["", "q=Merger", "tag=Deals", "category=Deals", "status=published"])
def test_the_panel_lists_it_for_its_group_alone(kb: KnowledgeBase, query: str) -> None:
    lists = [browser(kb, group).get(f"/admin/retrieval/document/?{query}").context["cl"].result_list for group in ("sales", "board")]
    assert ["merger" in [document.external_id for document in rows] for rows in lists] == [False, True]


def test_the_panels_filters_and_tabs_say_nothing_of_it(kb: KnowledgeBase) -> None:
    answers = [browser(kb, group).get("/admin/retrieval/document/") for group in ("sales", "board")]
    assert [says_secrets(answer.content.decode()) for answer in answers] == [False, True]
    assert [answer.context["status_tabs"]()[0]["count"] for answer in answers] == [1, 3]


def test_the_panel_opens_it_for_its_group_alone(kb: KnowledgeBase) -> None:
    page = f"/admin/retrieval/document/{kb.documents.get(external_id='merger').pk}/change/"
    assert browser(kb, "sales").get(page).status_code == 302
    assert "walrus merger" in browser(kb, "board").get(page).content.decode()


def test_an_open_document_does_not_name_its_hidden_copies(kb: KnowledgeBase) -> None:
    shown = put_document(kb, "shown", SECRET, title="Shown")
    page = f"/admin/retrieval/document/{shown.pk}/change/"
    assert not any(word in browser(kb, "sales").get(page).content.decode() for word in ("Merger", "Copy"))
    assert "Merger" in browser(kb, "board").get(page).content.decode()


@pytest.mark.parametrize(("group", "seen"), [("b", False), ('a"b', True), ("a", False)])
def test_a_group_is_a_whole_name_also_where_another_has_quotes_in_it(kb: KnowledgeBase, group: str, seen: bool) -> None:
    put_document(kb, "quoted", "Quotations.", title="Quoted", access=("x", 'a"b', "y"))
    titles = [hit["title"] for hit in browser(kb, group).get(f"{BASE}/archive").json()["hits"]]
    assert ("Quoted" in titles) is seen


@pytest.mark.parametrize("way", ["search?q=canteen", "search?q=canteen&group=document&mode=lexical", "search/summary?q=canteen"])
def test_a_list_that_is_shortened_counts_at_once_also_where_no_index_can_follow(
    kb: KnowledgeBase, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    put_document(kb, "noon", "The canteen serves walrus at noon.", title="Merger", tags=("Deals",))
    sales = browser(kb, "sales")
    assert says_secrets(sales.get(f"{BASE}/search?q=canteen").content.decode())
    monkeypatch.setattr(lexical, "replace_file", full)
    put_document(kb, "noon", "The canteen serves walrus at noon.", title="Merger", tags=("Deals",), access=("Board",))
    answer = sales.get(f"{BASE}/{way}")
    assert (answer.status_code, says_secrets(answer.content.decode())) == (200, False)
    assert says_secrets(browser(kb, "BOARD").get(f"{BASE}/{way}").content.decode())
