"""Do the documents name everything that exists? A setting, route, event, command or target without a word about it fails here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from django.apps import apps
from django.core.management import load_command_class
from django.urls import URLPattern, URLResolver, get_resolver
from prometheus_client.metrics import MetricWrapperBase

from apps.dialogue.routing import websocket_urlpatterns
from apps.serving.worker_metrics import _of_models, _of_queues, _of_workers
from core import errors, events, metrics
from core.config import Settings
from tests.docs import settings_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    """Every address of the URLconf as the documents write it: `/api/v1/bots/{bot}/ask`. The panel's own count as one."""
    for pattern in patterns:
        address = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if address.startswith(("/admin/", "/i18n/")):
            yield "/" + address.split("/")[1] + "/"
        elif isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, address)
        else:
            yield address


def own_commands() -> dict[str, str]:
    """The management commands of our apps: name → app."""
    found = {}
    for config in apps.get_app_configs():
        if config.name.startswith("apps."):
            folder = Path(config.path) / "management" / "commands"
            found.update({file.stem: config.name for file in folder.glob("[!_]*.py")})
    return found


def test_the_settings_page_is_what_the_settings_are() -> None:
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.render(), "run `make docs`"


def test_every_setting_has_a_heading_and_a_sentence_of_help() -> None:
    grouped = [name for names in settings_page.groups().values() for name in names]
    assert grouped == list(Settings.model_fields)
    assert [name for name, field in Settings.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_every_route_is_in_the_api_page() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    addresses = {*routes(get_resolver().url_patterns, "/"), *routes(websocket_urlpatterns, "/")}
    assert len(addresses) > 10
    assert sorted(address for address in addresses if f"`{address}`" not in page and f" {address}`" not in page) == []


def test_every_error_code_is_in_the_api_page() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.QAError)]
    assert [kind.code for kind in kinds if f"| `{kind.code}` | {kind.status} |" not in page] == []


@pytest.mark.parametrize("event", get_args(events.TurnEvent), ids=lambda event: event.type)
def test_every_event_and_its_fields_are_in_the_events_page(event: type) -> None:
    page = (DOCS / "events.md").read_text(encoding="utf-8")
    section = re.search(rf"^### `{event.type}`\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    assert section, f"no section for {event.type}"
    assert [field.name for field in dataclasses.fields(event) if f"`{field.name}`" not in section[1]] == []


@pytest.mark.parametrize("command", sorted(own_commands()))
def test_every_command_is_in_the_operations_page_and_helps(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"`{command}" in (DOCS / "operations.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        load_command_class(own_commands()[command], command).run_from_argv(["manage.py", command, "--help"])
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def exported_metrics() -> set[str]:
    """The names of all families, counters without `_total`."""
    own = {one._name for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)}
    return (
        own
        | {family.name for families in (_of_queues({}), _of_workers([]), _of_models([])) for family in families}
        | {"wenlu_workers_readable"}
    )


def test_the_operations_page_names_every_metric_and_no_other() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert {name.removesuffix("_total") for name in re.findall(r"`(wenlu_\w+)", page)} == exported_metrics()


def test_every_target_of_the_makefile_is_documented() -> None:
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert [target for target in targets[1].split() if target != "help" and f"`make {target}`" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def anchors_of(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*\.md)?#([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [f"{name}#{anchor}" for name, anchor in links if anchor not in anchors_of((page.parent / name) if name else page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_table_has_a_head(page: Path) -> None:
    tables = re.findall(r"^\n(\|.*)\n(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [first for first, second in tables if not re.fullmatch(r"\|[ |:-]+\|", second)] == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = (DOCS / "architecture.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted((DOCS / "adr").glob("*.md")) if f"adr/{path.name}" not in listed] == []
