"""The admin panel: curators find, edit, move, import and export FAQs, each within their role."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import ApiKey, AuditEntry, Membership, User
from apps.accounts.permissions import Caller
from apps.dialogue.models import Bot, Conversation, Feedback, Turn
from apps.faq.models import FAQ, FAQStatus
from apps.faq.rows import FAQRow
from apps.faq.services import row_of, save_faqs
from apps.retrieval.models import Entry, KnowledgeBase
from core.errors import ModelUnavailable

LIST = "/admin/faq/faq/"
SignIn = Callable[..., Client]


@pytest.fixture
def sign_in(kb: KnowledgeBase) -> SignIn:
    """Makes a browser of somebody with a role in `kb` (or everywhere): `sign_in("editor")`."""

    def make(role: str, *, everywhere: bool = False, language: str = "en") -> Client:
        user = User.objects.create_user(f"{role}-{everywhere}", is_staff=True, role=role if everywhere else "")
        if not everywhere:
            Membership.objects.create(user=user, kb=kb, role=role)
        client = Client(headers={"accept-language": language})
        client.force_login(user)
        return client

    return make


@pytest.fixture
def add(admin_caller: Caller) -> Callable[..., FAQ]:
    """Stores an FAQ: `add(kb, "leave", ["How much leave?"], "20 days")`."""

    def make(kb: KnowledgeBase, id: str, questions: list[str], answer: str = "An answer.", **more: object) -> FAQ:
        return save_faqs(kb, [FAQRow(id=id, questions=tuple(questions), answer=answer, **more)], admin_caller).faqs[0]  # type: ignore[arg-type]

    return make


@pytest.fixture
def other_kb(db: None) -> KnowledgeBase:
    return KnowledgeBase.objects.create(slug="other", name="Other")


def form_of(faq: FAQ, **changes: str) -> dict[str, str]:
    """What the browser sends when nothing but `changes` was typed."""
    row = row_of(faq)
    sent = {
        "phrasings": "\n".join(row.questions),
        "answer": faq.answer,
        "category": faq.category,
        "locale": faq.locale,
        "status": faq.status,
    }
    return {**sent, "seen_version": str(faq.version), **changes}


def ids_shown(client: Client, query: str = "") -> list[str]:
    """The external ids of the FAQs that the list shows, in its order."""
    return [faq.external_id for faq in client.get(f"{LIST}?{query}").context["cl"].result_list]


# Finding


def test_search_looks_into_every_phrasing_answer_and_id_and_shows_a_row_once(
    sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]
) -> None:
    add(kb, "leave-days", ["How much leave?", "leave days", "leave per year"], "Twenty.")
    add(kb, "parking", ["Where to park?"], "Level two, leave by ten.")
    client = sign_in("viewer")
    assert sorted(ids_shown(client, "q=leave")) == ["leave-days", "parking"]
    assert ids_shown(client, "q=leave+year") == ["leave-days"]
    assert ids_shown(client, "q=parking") == ["parking"]


def test_filters_choose_by_status_category_language_and_validity(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    now = timezone.now()
    add(kb, "old", ["a?"], category="HR", valid_until=now - timedelta(days=1))
    add(kb, "soon", ["b?"], locale="zh", valid_from=now + timedelta(days=1))
    add(kb, "draft", ["c?"], status="draft")
    client = sign_in("viewer")
    assert ids_shown(client, "valid=expired") == ["old"]
    assert ids_shown(client, "valid=upcoming") == ["soon"]
    assert ids_shown(client, "valid=now") == ["draft"]
    assert ids_shown(client, "status=draft") == ["draft"]
    assert ids_shown(client, "category=HR") == ["old"]
    assert ids_shown(client, "locale=zh") == ["soon"]


def test_the_list_costs_as_many_queries_for_forty_rows_as_for_two(
    sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ], django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for number in range(40):
        add(kb, f"faq-{number}", [f"question {number}?", f"and {number}"])
    client = sign_in("viewer")
    with django_assert_max_num_queries(20):  # type: ignore[attr-defined]
        assert len(ids_shown(client)) == 40


def test_tabs_count_each_step_of_the_life_cycle(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    add(kb, "a", ["a?"])
    add(kb, "b", ["b?"], status="draft")
    tabs = sign_in("viewer").get(LIST).context["status_tabs"]()
    assert [(tab["label"], tab["count"]) for tab in tabs] == [("All", 2), ("Draft", 1), ("In review", 0), ("Published", 1), ("Archived", 0)]


# Roles


def test_people_see_only_the_knowledge_bases_of_their_roles(
    sign_in: SignIn, kb: KnowledgeBase, other_kb: KnowledgeBase, add: Callable[..., FAQ]
) -> None:
    add(kb, "mine", ["a?"])
    secret = add(other_kb, "secret", ["b?"])
    client = sign_in("viewer")
    assert ids_shown(client) == ["mine"]
    assert client.get(f"{LIST}{secret.pk}/change/").status_code == 302
    assert client.get("/admin/retrieval/knowledgebase/").context["cl"].result_list == [kb]


@pytest.mark.parametrize(
    "page", ["accounts/user", "accounts/apikey", "accounts/membership", "accounts/auditentry", "dialogue/turn", "dialogue/conversation"]
)
def test_a_viewer_cannot_open_what_is_for_others(sign_in: SignIn, page: str) -> None:
    assert sign_in("viewer").get(f"/admin/{page}/").status_code == 403


def test_a_viewer_reads_and_changes_nothing(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    faq = add(kb, "a", ["a?"], status="draft")
    client = sign_in("viewer")
    assert "a?" in client.get(f"{LIST}{faq.pk}/change/").content.decode()
    assert client.post(f"{LIST}{faq.pk}/change/", form_of(faq, answer="Mine")).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403


def test_an_editor_changes_drafts_but_not_what_is_published(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    draft, published = add(kb, "draft", ["a?"], status="draft"), add(kb, "live", ["b?"])
    client = sign_in("editor")
    assert client.post(f"{LIST}{draft.pk}/change/", form_of(draft, answer="Better")).status_code == 302
    assert client.post(f"{LIST}{published.pk}/change/", form_of(published, answer="Worse")).status_code == 403
    assert sorted(FAQ.objects.values_list("external_id", "answer")) == [("draft", "Better"), ("live", "An answer.")]


def test_an_editor_is_offered_no_way_to_publish(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("editor")
    form = client.get(f"{LIST}add/").context["adminform"].form
    assert "published" not in dict(form.fields["status"].choices)
    sent = {"kb": kb.pk, "phrasings": "a?", "answer": "b", "status": "published"}
    assert client.post(f"{LIST}add/", sent).context["errors"]
    assert not FAQ.objects.exists()


def test_an_administrator_of_one_knowledge_base_grants_no_other(sign_in: SignIn, kb: KnowledgeBase, other_kb: KnowledgeBase) -> None:
    client, somebody = sign_in("admin"), User.objects.create_user("somebody")
    sent = {"user": somebody.pk, "role": "admin"}
    assert client.post("/admin/accounts/membership/add/", {**sent, "kb": other_kb.pk}).status_code == 200
    assert client.post("/admin/accounts/membership/add/", {**sent, "kb": kb.pk}).status_code == 302
    assert list(somebody.memberships.values_list("kb__slug", flat=True)) == ["hr"]


def test_only_superusers_touch_superusers(sign_in: SignIn) -> None:
    root = User.objects.create_superuser("root")
    client = sign_in("admin", everywhere=True)
    assert client.post(f"/admin/accounts/user/{root.pk}/change/", {"username": "mine"}).status_code == 403
    assert client.post(f"/admin/accounts/user/{root.pk}/delete/", {"post": "yes"}).status_code == 403
    somebody = User.objects.create_user("somebody")
    assert "is_superuser" not in client.get(f"/admin/accounts/user/{somebody.pk}/change/").context["adminform"].form.fields


# Editing


def test_a_new_faq_is_findable_and_recorded(sign_in: SignIn, kb: KnowledgeBase) -> None:
    sent = {"kb": kb.pk, "phrasings": "年假有几天？\n\n有多少年假", "answer": "20 天", "locale": "", "status": "published"}
    assert sign_in("reviewer").post(f"{LIST}add/", sent).status_code == 302
    faq = FAQ.objects.get()
    assert (row_of(faq).questions, faq.locale) == (("年假有几天？", "有多少年假"), "zh")
    assert Entry.objects.filter(kb=kb, deleted=False).count() == 2
    assert AuditEntry.objects.get(action="save_faqs").target == faq.external_id


def test_changing_phrasings_hides_the_dropped_one(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    faq = add(kb, "a", ["old?", "kept?"])
    sign_in("reviewer").post(f"{LIST}{faq.pk}/change/", form_of(faq, phrasings="kept?\nnew?"))
    assert sorted(Entry.objects.filter(deleted=False).values_list("text", flat=True)) == ["kept?", "new?"]
    assert Entry.objects.filter(deleted=True).count() == 1


def test_two_people_do_not_overwrite_each_other(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    faq = add(kb, "a", ["a?"])
    stale = form_of(faq, answer="Mine")
    add(kb, "a", ["a?"], "Theirs")
    response = sign_in("reviewer").post(f"{LIST}{faq.pk}/change/", stale)
    assert "Somebody else has changed this FAQ" in response.content.decode()
    assert FAQ.objects.get().answer == "Theirs"


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"phrasings": " \n "}, "phrasings"), ({"phrasings": "x" * 2001}, "phrasings"), ({"answer": "\u200b"}, "answer"),
     ({"external_id": "a b"}, "external_id"), ({"external_id": "taken"}, "external_id"), ({"kb": "999"}, "kb")],
)  # fmt: skip
def test_what_cannot_be_saved_is_said_at_its_field(
    sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ], changes: dict[str, str], field: str
) -> None:
    add(kb, "taken", ["a?"])
    sent = {"kb": str(kb.pk), "phrasings": "b?", "answer": "b", "status": "published", **changes}
    response = sign_in("reviewer").post(f"{LIST}add/", sent)
    assert list(response.context["adminform"].form.errors) == [field]
    assert FAQ.objects.count() == 1


def test_a_refusal_of_the_service_is_shown_and_not_a_server_error(
    sign_in: SignIn, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise ModelUnavailable("Nobody is there to encode.")

    monkeypatch.setattr("apps.faq.admin_forms.save_faqs", refuse)
    response = sign_in("reviewer").post(f"{LIST}add/", {"kb": kb.pk, "phrasings": "b?", "answer": "b", "status": "published"})
    assert response.status_code == 200
    assert "Nobody is there to encode." in response.content.decode()


def test_an_unanswered_question_fills_the_form(sign_in: SignIn, kb: KnowledgeBase) -> None:
    form = sign_in("editor").get(f"{LIST}add/?phrasings=Where+to+park%3F&kb={kb.pk}&locale=en").context["adminform"].form
    assert (form["phrasings"].value(), str(form["kb"].value()), form["locale"].value()) == ("Where to park?", str(kb.pk), "en")


# The life cycle


def act(client: Client, action: str, *faqs: FAQ, **more: str) -> object:
    return client.post(LIST, {"action": action, "_selected_action": [faq.pk for faq in faqs], **more})


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("publish", FAQStatus.PUBLISHED),
        ("send_to_review", FAQStatus.IN_REVIEW),
        ("archive", FAQStatus.ARCHIVED),
        ("back_to_draft", FAQStatus.DRAFT),
    ],
)
def test_actions_move_faqs_and_what_can_be_found_follows(
    sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ], action: str, status: FAQStatus
) -> None:
    before = "draft" if status is FAQStatus.PUBLISHED else "published"
    faqs = [add(kb, name, [f"{name}?"], status=before) for name in "ab"]
    act(sign_in("reviewer"), action, *faqs)
    assert set(FAQ.objects.values_list("status", flat=True)) == {status.value}
    assert Entry.objects.filter(deleted=False).count() == (2 if status is FAQStatus.PUBLISHED else 0)


def test_an_editor_cannot_withdraw_what_is_published(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    live = add(kb, "live", ["a?"])
    client = sign_in("editor")
    act(client, "archive", live)
    assert "may not publish" in client.get(LIST).content.decode()
    assert FAQ.objects.get().status == FAQStatus.PUBLISHED


def test_deleting_leaves_tombstones_and_an_audit_entry(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    one, two = add(kb, "one", ["a?"]), add(kb, "two", ["b?", "c?"])
    client = sign_in("reviewer")
    client.post(f"{LIST}{one.pk}/delete/", {"post": "yes"})
    act(client, "delete_selected", two, post="yes")
    assert not FAQ.objects.exists()
    assert Entry.objects.filter(deleted=True, text="").count() == 3
    assert AuditEntry.objects.filter(action="delete_faqs").count() == 2


def test_an_editor_cannot_delete_what_is_published(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    draft, live = add(kb, "draft", ["a?"], status="draft"), add(kb, "live", ["b?"])
    client = sign_in("editor")
    assert act(client, "delete_selected", draft, live, post="yes").status_code == 403  # type: ignore[attr-defined]
    act(client, "delete_selected", draft, post="yes")
    assert FAQ.objects.get() == live


def test_a_knowledge_base_goes_with_its_content_and_says_so(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    add(kb, "a", ["a?"])
    client = sign_in("admin", everywhere=True)
    assert "FAQs: 1" in re.sub(r"<[^>]+>|\s+", " ", client.get(f"/admin/retrieval/knowledgebase/{kb.pk}/delete/").content.decode()).replace(
        "  ", " "
    )
    client.post(f"/admin/retrieval/knowledgebase/{kb.pk}/delete/", {"post": "yes"})
    assert not KnowledgeBase.objects.exists()
    assert list(AuditEntry.objects.filter(action__startswith="delete").order_by("id").values_list("action", flat=True)) == [
        "delete_faqs",
        "delete_kb",
    ]


def test_renaming_a_knowledge_base_leaves_its_revision_alone(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("admin")
    page = client.get(f"/admin/retrieval/knowledgebase/{kb.pk}/change/")
    management = {
        f"{formset.formset.prefix}-{name}": "0"
        for formset in page.context["inline_admin_formsets"]
        for name in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    members = page.context["inline_admin_formsets"][0].formset
    rows = {f"{members.prefix}-0-{name}": members.forms[0][name].value() for name in ("id", "kb", "user", "role")}
    counts = {f"{members.prefix}-TOTAL_FORMS": "1", f"{members.prefix}-INITIAL_FORMS": "1"}
    sent = {"name": "People", "description": "", "locale": "zh", **management, **counts, **rows}
    with CaptureQueriesContext(connection) as queries:
        assert client.post(f"/admin/retrieval/knowledgebase/{kb.pk}/change/", sent).status_code == 302
    kb.refresh_from_db()
    assert kb.name == "People"
    assert not [query for query in queries if query["sql"].startswith("UPDATE") and '"revision" =' in query["sql"]]


# Files


def upload(client: Client, kb: KnowledgeBase, text: str, name: str = "faqs.csv") -> object:
    return client.post(f"{LIST}import/", {"kb": kb.pk, "locale": "", "file": SimpleUploadedFile(name, text.encode())})


def test_an_import_shows_what_would_happen_before_it_happens(sign_in: SignIn, kb: KnowledgeBase) -> None:
    client = sign_in("reviewer")
    page = upload(client, kb, "id,question,answer\na,How?,So\nb,,Nothing asked\n")
    report = page.context["report"]  # type: ignore[attr-defined]
    assert (report.created, report.bad_count, report.bad[0].row) == (1, 1, 3)
    assert not FAQ.objects.exists()
    done = client.post(f"{LIST}import/", {"token": page.context["token"]})  # type: ignore[attr-defined]
    assert done.context["report"].created == 1
    assert FAQ.objects.get().external_id == "a"


def test_an_upload_is_good_once_and_for_its_maker_only(sign_in: SignIn, kb: KnowledgeBase) -> None:
    mine, theirs = sign_in("reviewer"), sign_in("editor")
    token = upload(mine, kb, "question,answer\nHow?,So\n").context["token"]  # type: ignore[attr-defined]
    theirs.post(f"{LIST}import/", {"token": token})
    assert not FAQ.objects.exists()
    mine.post(f"{LIST}import/", {"token": token})
    assert FAQ.objects.count() == 1
    assert "no longer there" in mine.post(f"{LIST}import/", {"token": token}).content.decode()


@pytest.mark.parametrize("name", ["faqs.xlsx", "faqs.jsonl", "faqs.csv"])
def test_a_useless_file_is_refused_with_a_reason(sign_in: SignIn, kb: KnowledgeBase, name: str) -> None:
    page = upload(sign_in("editor"), kb, "\x00\x01 nothing of use", name)
    assert page.status_code == 200  # type: ignore[attr-defined]
    assert not FAQ.objects.exists()


def test_a_viewer_cannot_import(sign_in: SignIn) -> None:
    assert sign_in("viewer").get(f"{LIST}import/").status_code == 403


def test_an_export_holds_what_the_list_shows(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    add(kb, "a", ["How?"], "So")
    add(kb, "b", ["Why?"], "Because", status="draft")
    response = sign_in("viewer").get(f"{LIST}export/jsonl/?status=draft&kb=hr")
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    assert '"b"' in text
    assert '"a"' not in text


def test_an_export_of_two_knowledge_bases_asks_for_one(
    sign_in: SignIn, kb: KnowledgeBase, other_kb: KnowledgeBase, add: Callable[..., FAQ]
) -> None:
    add(kb, "a", ["a?"])
    add(other_kb, "b", ["b?"])
    assert sign_in("viewer", everywhere=True).get(f"{LIST}export/csv/").status_code == 302


# Keys, bots, turns, the first page


def test_a_key_is_shown_once_and_stored_as_a_digest(sign_in: SignIn) -> None:
    client = sign_in("admin", everywhere=True)
    page = client.post(
        "/admin/accounts/apikey/add/",
        {"name": "crm", "role": "asker", "kb": "", "bot": "", "expires_at_0": "", "expires_at_1": ""},
        follow=True,
    )
    text = re.search(r"data-key>(wl_[\w-]+)<", page.content.decode())
    assert text is not None
    assert text[1] not in client.get("/admin/accounts/apikey/").content.decode()
    assert ApiKey.objects.get().prefix == text[1][:10]


def test_a_revoked_key_stays_revoked_and_cannot_be_edited(sign_in: SignIn, client_with_role: Callable[..., object]) -> None:
    client_with_role("viewer")
    client, key = sign_in("admin", everywhere=True), ApiKey.objects.get()
    client.post("/admin/accounts/apikey/", {"action": "revoke_keys", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert client.post(f"/admin/accounts/apikey/{key.pk}/change/", {"name": "other"}).status_code == 403


def test_trying_a_bot_shows_candidates_and_leaves_no_turn(sign_in: SignIn, kb: KnowledgeBase, bot: Bot, add: Callable[..., FAQ]) -> None:
    add(kb, "parking", ["Where to park?"], "Level two.")
    page = sign_in("viewer").post(reverse("admin:dialogue_bot_try_it", args=[bot.pk]), {"question": "where to park"})
    assert page.context["trial"].answer == "Level two."
    assert "parking" in page.content.decode()
    assert not Turn.objects.exists()


@pytest.mark.parametrize("question", ["", "\u200b", "x" * 10_001])
def test_trying_what_cannot_be_asked_says_why(sign_in: SignIn, bot: Bot, question: str) -> None:
    page = sign_in("viewer").post(reverse("admin:dialogue_bot_try_it", args=[bot.pk]), {"question": question})
    assert page.status_code == 200
    assert page.context["refusal"]


def test_a_bot_is_changed_only_by_who_manages_all_its_knowledge_bases(sign_in: SignIn, bot: Bot, other_kb: KnowledgeBase) -> None:
    client = sign_in("admin")
    assert client.get(f"/admin/dialogue/bot/{bot.pk}/change/").status_code == 200
    bot.kbs.add(other_kb)
    assert client.get(f"/admin/dialogue/bot/{bot.pk}/change/").status_code == 302


@pytest.fixture
def turns(bot: Bot) -> list[Turn]:
    """An answered question with a vote, and one that had no answer, twice."""
    thread = Conversation.objects.create(bot=bot)
    trace = {
        "faq": {
            "confidence": 0.9,
            "accepted": True,
            "candidates": [{"id": "a", "phrasing": "<b>bold</b>?", "score": 1.5, "contributions": {"cosine": 0.9}}],
        }
    }
    made = [
        Turn.objects.create(conversation=thread, question="good?", answer="yes", answered=True, skill="faq", state="finished", trace=trace)
    ]
    made += [Turn.objects.create(conversation=thread, question=text, state="finished") for text in ("Parking?", "parking")]
    Feedback.objects.create(turn=made[0], vote=1, comment="nice")
    return made


def test_turns_are_filtered_by_outcome_skill_vote_and_words(sign_in: SignIn, turns: list[Turn]) -> None:
    client = sign_in("editor")

    def shown(query: str) -> set[str]:
        return {turn.question for turn in client.get(f"/admin/dialogue/turn/?{query}").context["cl"].result_list}

    assert shown("outcome=unanswered") == {"Parking?", "parking"}
    assert shown("outcome=answered") == shown("skill=faq") == shown("vote=1") == shown("q=good") == {"good?"}
    assert shown("bot=helper") == {"good?", "Parking?", "parking"}


def test_a_turn_explains_itself_without_running_what_people_wrote(sign_in: SignIn, turns: list[Turn]) -> None:
    page = sign_in("editor").get(f"/admin/dialogue/turn/{turns[0].pk}/change/").content.decode()
    assert "&lt;b&gt;bold&lt;/b&gt;?" in page
    assert "<b>bold</b>" not in page
    assert "cosine 0.9" in page


def test_turns_of_bots_over_foreign_knowledge_bases_are_hidden(
    sign_in: SignIn, turns: list[Turn], bot: Bot, other_kb: KnowledgeBase
) -> None:
    bot.kbs.add(other_kb)
    assert not sign_in("editor").get("/admin/dialogue/turn/").context["cl"].result_list


def test_nobody_edits_turns_or_the_audit_trail(sign_in: SignIn, turns: list[Turn]) -> None:
    client = sign_in("admin", everywhere=True)
    entry = AuditEntry.objects.create(actor="user:1", action="x", target="y")
    assert client.post(f"/admin/dialogue/turn/{turns[0].pk}/change/", {"answer": "no"}).status_code == 403
    assert client.post(f"/admin/accounts/auditentry/{entry.pk}/change/", {"actor": "me"}).status_code == 403
    assert client.post(f"/admin/accounts/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_first_page_counts_the_last_days_and_lists_what_had_no_answer(sign_in: SignIn, turns: list[Turn]) -> None:
    shown = sign_in("editor").get("/admin/").context["dashboard"]
    assert (shown["turns"]["total"], shown["turns"]["answered_percent"], shown["turns"]["liked"]) == (3, "33%", 1)
    assert [(row["times"], "phrasings=" in row["add_url"]) for row in shown["unanswered"]] == [(2, True)]


def test_the_first_page_shows_a_viewer_no_questions(sign_in: SignIn, turns: list[Turn]) -> None:
    assert "turns" not in sign_in("viewer").get("/admin/").context["dashboard"]


def test_the_panel_speaks_the_readers_language(sign_in: SignIn) -> None:
    assert "知识库" in sign_in("viewer", language="zh-CN").get("/admin/").content.decode()
    assert "Knowledge bases" in sign_in("editor", language="en").get("/admin/").content.decode()


@pytest.mark.parametrize("page", ["user", "apikey", "membership", "auditentry"])
def test_every_page_of_people_opens_for_administrators(sign_in: SignIn, page: str) -> None:
    client = sign_in("admin", everywhere=True)
    assert client.get(f"/admin/accounts/{page}/").status_code == 200
    assert client.get(f"/admin/accounts/{page}/add/").status_code == (403 if page == "auditentry" else 200)


def test_a_prompt_that_cannot_be_used_is_refused_when_it_is_saved(sign_in: SignIn, bot: Bot) -> None:
    client, address = sign_in("admin"), f"/admin/dialogue/bot/{bot.pk}/change/"
    form = {
        "name": bot.name, "kbs": [kb.pk for kb in bot.kbs.all()], "locale": "zh", "fallback_zh": "x", "fallback_en": "x",
        "document_answers": "generate", "unsupported": "drop", "without_support": "extract",
    }  # fmt: skip
    refused = client.post(address, {**form, "prompt_en": "{{ sources }} {{ question.__class__ }}"})
    assert "Line 1 of the template does more than show" in refused.content.decode()
    assert client.post(address, {**form, "prompt_en": "{{ sources }}\n{{ question }}"}).status_code == 302
    bot.refresh_from_db()
    assert (bot.document_answers, bot.prompt_en) == ("generate", "{{ sources }}\n{{ question }}")
