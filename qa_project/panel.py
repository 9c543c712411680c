"""How the admin panel looks: `settings.UNFOLD`. Read while settings load, so it imports no app."""

from __future__ import annotations

from django.templatetags.static import static

_GREENS = {
    "50": "#f0f7f4", "100": "#dcede6", "200": "#bbdccf", "300": "#8dc4b0", "400": "#5ba68c", "500": "#388a70",
    "600": "#1d6b58", "700": "#195848", "800": "#17473b", "900": "#143b32", "950": "#0a211c",
}  # fmt: skip


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
    "LOGIN": {"form": "apps.accounts.signing_in.LimitedSignInForm"},
    "DASHBOARD_CALLBACK": "qa_project.dashboard.dashboard",
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": "qa_project.navigation.navigation"},
}
