"""Several generators as one: their order, who is asked next, and how their keys are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts.models import AuditEntry, User
from apps.accounts.permissions import Caller
from apps.serving.generators import forget_generators, generator_for, generator_names
from apps.serving.models import Deployment
from apps.serving.sealing import seal, unseal
from apps.serving.services import save_deployment
from core.backends import use_backend
from core.config import get_settings
from core.errors import ModelUnavailable, NotFound, QAError
from core.protocols import GenerationRequest, Generator
from tests.generators import ScriptedGenerator
from tests.openai_server import Script, fails, hangs, says, upstream

pytestmark = pytest.mark.django_db
REQUEST = GenerationRequest(messages=(("user", "hello"),), deadline_s=10)
LIST = "/admin/serving/deployment/"


@pytest.fixture(autouse=True)
def own_network(configure: Callable) -> Iterator[None]:
    configure(private_hosts="127.0.0.1")
    forget_generators()
    yield
    forget_generators()


@pytest.fixture
def deploy(admin_caller: Caller) -> Callable[..., Deployment]:
    """Stores a deployment: `deploy("far", script, order=1)`, or of this installation without a script."""

    def make(name: str, script: Script | None = None, key: str = "", **more: object) -> Deployment:
        kind = Deployment.Kind.UPSTREAM if script else Deployment.Kind.LOCAL
        row = Deployment(name=name, kind=kind, base_url=script.url if script else "", model="m", retries=0, **more)
        save_deployment(row, key=key or None, caller=admin_caller, fields=[])
        return row

    return make


@pytest.fixture
def own() -> ScriptedGenerator:
    generator = ScriptedGenerator("own words")
    use_backend(get_settings().generator_backend, generator)
    return generator


def text_of(generator: Generator) -> str:
    return "".join(chunk.text for chunk in generator.stream(REQUEST, Event()))


def test_without_deployments_the_own_model_writes(own: ScriptedGenerator) -> None:
    assert generator_names() == ["generator"]
    assert isinstance(generator_for(), Generator) and generator_for().model_id == "scripted@1"
    assert text_of(generator_for()) == "own words"


def test_without_any_model_there_is_none(configure: Callable) -> None:
    configure(generator="")
    assert generator_names() == []
    with pytest.raises(NotFound):
        generator_for()


def test_the_first_in_order_writes_and_each_has_its_name(own: ScriptedGenerator, deploy: Callable) -> None:
    with upstream(says("far words")) as script:
        deploy("near", order=2)
        deploy("far", script, order=1)
        deploy("off", script, order=0, enabled=False)
        assert generator_names() == ["generator", "far", "near"]
        assert [text_of(generator_for(name)) for name in ("generator", "far", "near")] == ["far words", "far words", "own words"]
    with pytest.raises(NotFound):
        generator_for("off")


@pytest.mark.parametrize("trouble", [fails(500), fails(401), fails(429), fails(400), hangs()])
def test_the_next_is_asked_where_one_gives_no_first_word(own: ScriptedGenerator, deploy: Callable, trouble: Callable) -> None:
    with upstream(trouble) as script:
        deploy("far", script, order=1, read_timeout_s=0.3)
        deploy("near", order=2)
        assert text_of(generator_for()) == "own words"
        with pytest.raises(QAError):
            text_of(generator_for("far"))


def test_after_the_first_word_nobody_else_is_asked(own: ScriptedGenerator, deploy: Callable) -> None:
    with upstream(says("half", reason=None)) as script:
        deploy("far", script, order=1)
        deploy("near", order=2)
        with pytest.raises(ModelUnavailable):
            text_of(generator_for())
    assert own.requests == []


def test_who_failed_rests_and_who_is_full_does_not(own: ScriptedGenerator, deploy: Callable) -> None:
    with upstream(fails(500)) as broken, upstream(fails(429)) as full:
        deploy("broken", broken, order=1)
        deploy("full", full, order=2)
        deploy("near", order=3)
        for _ in range(3):
            assert text_of(generator_for()) == "own words"
    assert (len(broken.requests), len(full.requests)) == (1, 3)


def test_where_all_rest_all_are_asked(deploy: Callable) -> None:
    with upstream(fails(500), says("back")) as script:
        deploy("far", script)
        with pytest.raises(ModelUnavailable):
            text_of(generator_for())
        assert text_of(generator_for()) == "back"


def test_a_key_lies_sealed_and_reaches_its_server(deploy: Callable) -> None:
    with upstream(says("yes")) as script:
        row = deploy("far", script, key="sk-secret")
        assert "sk-secret" not in row.sealed_key and unseal(row.sealed_key) == "sk-secret"
        assert text_of(generator_for()) == "yes"
    assert script.requests[0][1]["authorization"] == "Bearer sk-secret"
    assert AuditEntry.objects.get().action == "create_deployment" and "sk-secret" not in str(AuditEntry.objects.values())


def test_the_secret_key_can_be_changed(deploy: Callable, settings: object) -> None:
    with upstream(says("yes")) as script:
        row = deploy("far", script, key="sk-secret")
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]  # type: ignore[attr-defined]
        settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
        assert unseal(row.sealed_key) == "sk-secret"
        call_command("reseal_keys")
        settings.SECRET_KEY_FALLBACKS = []  # type: ignore[attr-defined]
        row.refresh_from_db()
        assert unseal(row.sealed_key) == "sk-secret"


def test_a_key_of_an_unknown_secret_key_fails_that_generator_alone(own: ScriptedGenerator, deploy: Callable, settings: object) -> None:
    with upstream(says("yes")) as script:
        deploy("far", script, key="sk-secret", order=1)
        deploy("near", order=2)
        settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
        assert text_of(generator_for()) == "own words"
        with pytest.raises(CommandError, match="far"):
            call_command("reseal_keys")
    assert script.requests == []


# The panel


@pytest.fixture
def panel() -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("root"))
    return client


def form(script_url: str, **changes: object) -> dict[str, object]:
    """What the browser sends."""
    sent = {"name": "far", "kind": "upstream", "order": 1, "enabled": "on", "base_url": script_url, "model": "m", "key": ""}
    return {**sent, "connect_timeout_s": 5, "read_timeout_s": 30, "retries": 2, **changes}


def test_a_generator_is_added_and_its_key_never_shown(panel: Client) -> None:
    assert panel.post(f"{LIST}add/", form("http://127.0.0.1:9/v1", key="sk-secret")).status_code == 302
    row = Deployment.objects.get()
    assert unseal(row.sealed_key) == "sk-secret"
    for page in (LIST, f"{LIST}{row.pk}/change/"):
        shown = panel.get(page).content.decode()
        assert "sk-secret" not in shown and row.sealed_key not in shown
    panel.post(f"{LIST}{row.pk}/change/", form("http://127.0.0.1:9/v1", model="other"))
    row.refresh_from_db()
    assert (row.model, unseal(row.sealed_key)) == ("other", "sk-secret")
    panel.post(f"{LIST}{row.pk}/change/", form("http://127.0.0.1:9/v1", forget_key="on"))
    row.refresh_from_db()
    assert row.sealed_key == ""


def test_a_stored_key_does_not_follow_a_changed_address(panel: Client) -> None:
    row = Deployment.objects.create(name="far", base_url="http://127.0.0.1:9/v1", model="m", sealed_key=seal("sk-secret"))
    refused = panel.post(f"{LIST}{row.pk}/change/", form("https://evil.example/v1"))
    assert "enter the key again" in refused.content.decode()
    row.refresh_from_db()
    assert row.base_url == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"base_url": "http://10.0.0.1/v1"}, "This address may not be used"),
        ({"base_url": "http://api.example.com/v1"}, "This address may not be used"),
        ({"base_url": ""}, "needs this"),
        ({"model": ""}, "needs this"),
        ({"name": "generator"}, "is the name of a role"),
        ({"retries": 9}, "less than or equal to 5"),
    ],
)
def test_what_cannot_work_is_refused(panel: Client, changes: dict[str, object], reason: str) -> None:
    assert reason in panel.post(f"{LIST}add/", form("http://127.0.0.1:9/v1", **changes)).content.decode()
    assert not Deployment.objects.exists()


def test_a_connection_can_be_tried(panel: Client) -> None:
    def models(exchange: object) -> None:
        exchange.head(200)  # type: ignore[attr-defined]
        exchange.wfile.write(b'{"data": [{"id": "m"}]}')  # type: ignore[attr-defined]

    with upstream(models, fails(401)) as script:
        row = Deployment.objects.create(name="far", base_url=script.url, model="m")
        told = [panel.get(f"{LIST}{row.pk}/connection", follow=True).content.decode() for _ in range(2)]
    assert "Connected; the server has m." in told[0]
    assert "refuses its key" in told[1]


def test_generators_are_for_administrators(panel: Client, client_with_role: Callable) -> None:
    User.objects.create_user("editor", is_staff=True, role="editor")
    editor = Client()
    editor.force_login(User.objects.get(username="editor"))
    assert editor.get(LIST).status_code == 403
    assert panel.get(LIST).status_code == 200
