"""What every test stands on: a data folder of its own, a small encoder, and nothing left over from the test before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections
from rest_framework.test import APIClient

from apps.accounts.keys import create_key
from apps.accounts.limits import forget_limits
from apps.accounts.permissions import AccessRole, Caller
from apps.accounts.rates import forget_counts
from apps.accounts.usage import forget_usage
from apps.dialogue.models import Bot
from apps.dialogue.policy import skills
from apps.faq.density import forget_densities
from apps.retrieval.indexes.registry import close_indexes
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import close_followers
from apps.retrieval.query_layer.layer import forget_layers
from apps.retrieval.search.archive import forget_archive
from apps.retrieval.search.stored_passages import forget_kinds
from apps.serving.jobs.runner import runner
from core.backends import close_backends, get_backend, load_object, use_backend
from core.config import get_settings
from core.protocols import Encoder, Skill
from tests.encoders import HashingEncoder

# A queue for the writers of one process is SQLite's alone: there is nothing of it to collect on another database.
collect_ignore = [] if connections["default"].vendor == "sqlite" else ["integration/test_sqlite_writers.py"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """SQLite in a file, as it runs in production: in memory, threads that share it lock whole tables against each other."""
    if connections["default"].vendor == "sqlite":
        connections["default"].settings_dict["TEST"]["NAME"] = str(get_settings().data_dir / "test.sqlite3")


@pytest.fixture(autouse=True)
def encoder(request: pytest.FixtureRequest) -> Iterator[HashingEncoder | None]:
    """The process's encoder is a hashing one, unless the test is marked `real_model` or asks for `real_encoder`."""
    hashing = None
    if "real_encoder" not in request.fixturenames and not request.node.get_closest_marker("real_model"):
        hashing = HashingEncoder()
        use_backend(get_settings().encoder_backend, hashing)
    yield hashing
    forget_process_state()


def forget_process_state() -> None:
    """As after a new start on an empty disk: primary keys are used again in the next test, so no index may survive."""
    if runner.cache_info().currsize:
        runner().close()
        runner.cache_clear()
    close_followers()
    forget_densities()
    forget_kinds()
    forget_archive()
    forget_usage()
    forget_limits()
    forget_counts()
    forget_layers()
    close_indexes()
    shutil.rmtree(get_settings().data_dir / "indexes", ignore_errors=True)
    close_backends()


@pytest.fixture(scope="session")
def real_model_folder() -> Path:
    """The real encoder's files, made once into a cache folder (QA_MODEL_DIR where it is set)."""
    named = os.environ.get("WENLU_TEST_MODEL_DIR")
    cache = Path(named) if named else Path.home() / ".cache" / "wenlu" / "models"
    name = get_settings().encoder
    folder: Path = load_object("workers.weights.materialise")(name, cache / name)
    return folder


@pytest.fixture
def real_encoder(real_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Encoder]:
    """The real encoder as this process's."""
    monkeypatch.setenv("QA_MODEL_DIR", str(real_model_folder.parent))
    get_settings.cache_clear()
    yield get_backend(get_settings().encoder_backend, Encoder)
    monkeypatch.delenv("QA_MODEL_DIR")
    get_settings.cache_clear()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Changes settings for one test: `configure(turn_deadline_s=0.1)`."""

    def change(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"QA_{name.upper()}", str(value))
        get_settings.cache_clear()

    yield change
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def quick_passwords(settings: object) -> None:
    """Nobody waits for a slow hash."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.fixture
def near_sites(configure: Callable[..., None]) -> Callable[..., None]:
    """Sites on this machine may be visited, and nobody waits between their pages; gives `configure` on."""
    configure(private_hosts="127.0.0.1", site_delay_s=0, site_page_s=5, site_page_mb=1)
    return configure


@pytest.fixture
def add_skills(configure: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Puts skills beside the one that ships: `add_skills(skill, another)`."""

    def add(*added: Skill) -> None:
        for skill in added:
            use_backend(f"tests.{skill.name}", skill)
        configure(skills=",".join(["apps.faq.skill.FAQSkill", *(f"tests.{skill.name}" for skill in added)]))
        skills.cache_clear()

    yield add
    skills.cache_clear()


@pytest.fixture
def admin_caller() -> Caller:
    """Somebody who may do everything."""
    return Caller(name="user:1", role=AccessRole.ADMIN)


@pytest.fixture
def kb(db: None) -> KnowledgeBase:
    """An empty knowledge base."""
    return KnowledgeBase.objects.create(slug="hr", name="HR", locale="zh")


@pytest.fixture
def bot(kb: KnowledgeBase) -> Bot:
    """A public bot over `kb`."""
    bot = Bot.objects.create(slug="helper", name="Helper", public=True)
    bot.kbs.set([kb])
    return bot


@pytest.fixture
def client_with_role(db: None) -> Callable[..., APIClient]:
    """Makes an API client whose key has a role: `client_with_role("editor")`."""

    def make(role: str, kb: KnowledgeBase | None = None) -> APIClient:
        _, text = create_key(name=f"test-{role}-{kb.slug if kb else 'all'}", role=AccessRole(role), kb_id=kb.pk if kb else None)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        return client

    return make


@pytest.fixture
def api(client_with_role: Callable[..., APIClient]) -> APIClient:
    """An API client that may do everything."""
    return client_with_role("admin")
