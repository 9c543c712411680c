"""What the panel's sidebar leads to."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.accounts.panel import caller_of
from apps.serving.jobs.panel import may_see_jobs
from apps.serving.panel import may_see_models
from qa_project.dashboard import documents_in_review, in_review


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar for this reader: only what the role may open, and how much waits for a reviewer."""
    caller = caller_of(request)
    groups = [
        (None, [_link("admin:index", _("Overview"), "monitoring"), _link("chat", _("Chat page"), "forum")]),
        (_("Content"), [
            _list(request, "faq.FAQ", _("FAQs"), "quiz", **_badge(in_review(caller))),
            _list(request, "retrieval.Document", _("Documents"), "description", **_badge(documents_in_review(caller))),
            _page("jobs-page", _("Jobs"), "manufacturing", may_see_jobs(request)),
            _list(request, "retrieval.Ingestion", _("Ingestions"), "move_to_inbox"),
            _list(request, "retrieval.IngestPolicy", _("What is kept out"), "filter_alt"),
            _link("search-home", _("Search"), "search"),
            _list(request, "retrieval.KnowledgeBase", _("Knowledge bases"), "library_books"),
            _list(request, "retrieval.QueryLayer", _("Words of questions"), "translate"),
            _list(request, "dialogue.Bot", _("Bots"), "smart_toy"),
        ]),
        (_("What people ask"), [
            _list(request, "dialogue.Turn", _("Questions and answers"), "question_answer"),
            _list(request, "dialogue.Conversation", _("Conversations"), "chat"),
            _list(request, "dialogue.Feedback", _("Feedback"), "thumbs_up_down"),
        ]),
        (_("Quality"), [_list(request, "dialogue.EvaluationRun", _("Hit tests"), "target")]),
        (_("Access"), [
            _list(request, "accounts.User", _("People"), "group"),
            _list(request, "accounts.Membership", _("Roles"), "badge"),
            _list(request, "accounts.ApiKey", _("API keys"), "key"),
            _list(request, "accounts.Limit", _("Limits"), "speed"),
            _list(request, "accounts.UsageDay", _("Usage"), "bar_chart"),
            _list(request, "serving.Deployment", _("Generators"), "edit_note"),
            _list(request, "accounts.AuditEntry", _("Audit trail"), "history"),
            _link("docs", _("API description"), "api"),
        ]),
        (_("Operation"), [_page("models", _("Models and workers"), "memory", may_see_models(request))]),
    ]  # fmt: skip
    return [{"title": title, "separator": title is not None, "items": items} for title, items in groups]


def _badge(waiting: int) -> dict[str, str]:
    """What a link shows of how much waits."""
    return {"badge": str(waiting), "badge_variant": "warning"} if waiting else {}


def _link(name: str, title: Promise, icon: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(name), **({} if name == "admin:index" else {"active": False})}


def _page(name: str, title: Promise, icon: str, permitted: bool) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(name), "permission": lambda _request: permitted}


def _list(request: HttpRequest, model: str, title: Promise, icon: str, **more: str) -> dict[str, Any]:
    page = admin.site.get_model_admin(apps.get_model(model))
    permitted = page.has_module_permission(request)
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{model.lower().replace('.', '_')}_changelist"),
        "permission": lambda _request: permitted,
        **more,
    }
