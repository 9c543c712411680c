"""The form of an FAQ: what it saves, and what it refuses with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.accounts.models import AuditEntry
from apps.faq.models import FAQ
from apps.faq.services import row_of
from apps.retrieval.models import Entry, KnowledgeBase
from core.errors import ModelUnavailable
from tests.panel import FAQ_LIST, SignIn, form_of


def test_a_new_faq_is_findable_and_recorded(sign_in: SignIn, kb: KnowledgeBase) -> None:
    sent = {"kb": kb.pk, "phrasings": "年假有几天？\n\n有多少年假", "answer": "20 天", "locale": "", "status": "published"}
    assert sign_in("reviewer").post(f"{FAQ_LIST}add/", sent).status_code == 302
    faq = FAQ.objects.get()
    assert (row_of(faq).questions, faq.locale) == (("年假有几天？", "有多少年假"), "zh")
    assert Entry.objects.filter(kb=kb, deleted=False).count() == 2
    assert AuditEntry.objects.get(action="save_faqs").target == faq.external_id


def test_changing_phrasings_hides_the_dropped_one(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    faq = add(kb, "a", ["old?", "kept?"])
    sign_in("reviewer").post(f"{FAQ_LIST}{faq.pk}/change/", form_of(faq, phrasings="kept?\nnew?"))
    assert sorted(Entry.objects.filter(deleted=False).values_list("text", flat=True)) == ["kept?", "new?"]
    assert Entry.objects.filter(deleted=True).count() == 1


def test_two_people_do_not_overwrite_each_other(sign_in: SignIn, kb: KnowledgeBase, add: Callable[..., FAQ]) -> None:
    faq = add(kb, "a", ["a?"])
    stale = form_of(faq, answer="Mine")
    add(kb, "a", ["a?"], "Theirs")
    response = sign_in("reviewer").post(f"{FAQ_LIST}{faq.pk}/change/", stale)
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
    response = sign_in("reviewer").post(f"{FAQ_LIST}add/", sent)
    assert list(response.context["adminform"].form.errors) == [field]
    assert FAQ.objects.count() == 1


def test_a_refusal_of_the_service_is_shown_and_not_a_server_error(
    sign_in: SignIn, kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise ModelUnavailable("Nobody is there to encode.")

    monkeypatch.setattr("apps.faq.admin_forms.save_faqs", refuse)
    response = sign_in("reviewer").post(f"{FAQ_LIST}add/", {"kb": kb.pk, "phrasings": "b?", "answer": "b", "status": "published"})
    assert response.status_code == 200
    assert "Nobody is there to encode." in response.content.decode()


def test_an_unanswered_question_fills_the_form(sign_in: SignIn, kb: KnowledgeBase) -> None:
    form = sign_in("editor").get(f"{FAQ_LIST}add/?phrasings=Where+to+park%3F&kb={kb.pk}&locale=en").context["adminform"].form
    assert (form["phrasings"].value(), str(form["kb"].value()), form["locale"].value()) == ("Where to park?", str(kb.pk), "en")
