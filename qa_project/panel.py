"""How the admin panel looks and what its sidebar leads to; `settings.UNFOLD`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

_GREENS = {
    "50": "#f0f7f4", "100": "#dcede6", "200": "#bbdccf", "300": "#8dc4b0", "400": "#5ba68c", "500": "#388a70",
    "600": "#1d6b58", "700": "#195848", "800": "#17473b", "900": "#143b32", "950": "#0a211c",
}  # fmt: skip


def _sees(model: str) -> Callable[[HttpRequest], bool]:
    """Whether the reader may open the list of this model (`app.name`)."""

    def permitted(request: HttpRequest) -> bool:
        from django.apps import apps
        from django.contrib import admin

        return admin.site.get_model_admin(apps.get_model(model)).has_module_permission(request)

    return permitted


def _to(model: str, title: Any, icon: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model.lower().replace('.', '_')}_changelist"), "permission": _sees(model), **more}


def waiting_for_review(request: HttpRequest) -> str:
    """The badge beside FAQs: how many wait for a reviewer; nothing where none does."""
    from apps.accounts.panel import caller_of
    from qa_project.dashboard import in_review

    count = in_review(caller_of(request))
    return str(count) if count else ""


UNFOLD = {
    "SITE_TITLE": "问路 Wenlu",
    "SITE_HEADER": "问路 Wenlu",
    "SITE_SYMBOL": "signpost",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("chat/mark.svg")}],
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "COLORS": {"primary": _GREENS},
    "STYLES": [lambda request: static("panel/panel.css")],
    "DASHBOARD_CALLBACK": "qa_project.dashboard.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {"title": _("Overview"), "icon": "monitoring", "link": reverse_lazy("admin:index")},
                    {"title": _("Chat page"), "icon": "forum", "link": reverse_lazy("chat")},
                ]
            },
            {
                "title": _("Content"),
                "separator": True,
                "items": [
                    _to("faq.FAQ", _("FAQs"), "quiz", badge="qa_project.panel.waiting_for_review", badge_variant="warning"),
                    _to("retrieval.KnowledgeBase", _("Knowledge bases"), "library_books"),
                    _to("dialogue.Bot", _("Bots"), "smart_toy"),
                ],
            },
            {
                "title": _("What people ask"),
                "separator": True,
                "items": [
                    _to("dialogue.Turn", _("Questions and answers"), "question_answer"),
                    _to("dialogue.Conversation", _("Conversations"), "chat"),
                    _to("dialogue.Feedback", _("Feedback"), "thumbs_up_down"),
                ],
            },
            {
                "title": _("Access"),
                "separator": True,
                "items": [
                    _to("accounts.User", _("People"), "group"),
                    _to("accounts.Membership", _("Roles"), "badge"),
                    _to("accounts.ApiKey", _("API keys"), "key"),
                    _to("accounts.AuditEntry", _("Audit trail"), "history"),
                    {"title": _("API description"), "icon": "api", "link": reverse_lazy("docs")},
                ],
            },
        ],
    },
}
