"""The generator is loaded in the background, and who can answer without does not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

import pytest

from apps.serving.warmup import Warmth, Warmup
from core.backends import use_backend
from core.config import get_settings
from core.errors import ModelUnavailable
from tests.generators import ScriptedGenerator, Step

pytestmark = pytest.mark.django_db


def warmup_with(*script: Step) -> tuple[Warmup, ScriptedGenerator]:
    generator, warmup = ScriptedGenerator(*script), Warmup()
    use_backend(get_settings().generator_backend, generator)
    warmup.start()
    return warmup, generator


def test_it_is_loading_until_one_token_is_written() -> None:
    go = Event()
    warmup, generator = warmup_with(go, "x")
    assert warmup.state is Warmth.LOADING
    go.set()
    warmup.wait(10)
    assert warmup.state is Warmth.OK
    assert generator.requests[0].max_tokens == 1


def test_where_it_cannot_be_loaded_the_next_text_tries_again() -> None:
    warmup, _ = warmup_with(ModelUnavailable("no weights"))
    warmup.wait(10)
    assert warmup.state is Warmth.COLD


@pytest.mark.parametrize(
    "settings", [{"generator": ""}, {"generator_backend": "workers.remote.RemoteGenerator", "redis_url": "redis://127.0.0.1:1/0"}]
)
def test_a_process_without_a_generator_of_its_own_loads_none(configure: Callable[..., None], settings: dict[str, str]) -> None:
    configure(**settings)
    warmup = Warmup()
    warmup.start()
    assert warmup.state is Warmth.NONE
