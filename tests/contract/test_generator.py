"""What every Generator does, with a tiny model whose tokens are bytes. A new implementation adds its name to IMPLEMENTATIONS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from apps.serving.generators import FallbackGenerator, Named
from apps.serving.upstream import Endpoint, UpstreamGenerator
from core.config import get_settings
from core.errors import InvalidRequest, ModelUnavailable
from core.protocols import Chunk, GenerationRequest, Generator
from core.types import FinishReason, Priority
from tests.inference_workers import redis_url, start_worker
from tests.language_models import CONTEXT, write_language_model
from tests.openai_server import upstream, writes
from workers.dispatch import Dispatcher
from workers.local import LocalGenerator
from workers.remote import RemoteGenerator

IMPLEMENTATIONS = ["local", "remote", "upstream", "chain"]
QUESTION = "How do I reset my password? 我忘了"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its greedy texts end by their limits alone."""
    return write_language_model(tmp_path_factory.mktemp("generator"), endless=True)


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def generator(request: pytest.FixtureRequest, folder: Path) -> Iterator[Generator]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"GENERATOR": str(folder), "GENERATOR_PRECISION": "fp32", "DEVICE": "cpu", "MODEL_THREADS": "1"}.items():
            patch.setenv(f"QA_{name}", value)
        get_settings.cache_clear()
        with MAKERS[request.param]() as made:
            yield made
    get_settings.cache_clear()


@contextmanager
def local_generator() -> Iterator[LocalGenerator]:
    with closing(LocalGenerator()) as generator:
        yield generator


@contextmanager
def upstream_generator() -> Iterator[UpstreamGenerator]:
    """An OpenAI-compatible server before the same model."""
    with pytest.MonkeyPatch.context() as patch, local_generator() as behind, upstream(writes(behind)) as script:
        patch.setenv("QA_PRIVATE_HOSTS", "127.0.0.1")
        get_settings.cache_clear()
        yield UpstreamGenerator(Endpoint(name="far", base_url=script.url, model=behind.model_id))


@contextmanager
def chain_of_generators() -> Iterator[FallbackGenerator]:
    """A generator that cannot be reached, then the model."""
    gone = UpstreamGenerator(Endpoint(name="gone", base_url="https://127.0.0.1:1/v1", model="none"))
    with local_generator() as behind:
        yield FallbackGenerator([Named("gone", lambda: gone), Named("near", lambda: behind)])


@contextmanager
def remote_generator() -> Iterator[RemoteGenerator]:
    """A worker that serves this role alone, behind a Redis database of this module's."""
    settings = get_settings()
    url = redis_url(12)
    with start_worker(
        url, {"QA_GENERATOR": settings.generator, "QA_GENERATOR_PRECISION": "fp32", "QA_WORKER_ROLES": "generator"}
    ) as worker:
        worker.wait_until_alive()
        with closing(RemoteGenerator(Dispatcher(settings.model_copy(update={"redis_url": url})))) as generator:
            yield generator


MAKERS = {"local": local_generator, "remote": remote_generator, "upstream": upstream_generator, "chain": chain_of_generators}


def ask(text: str = QUESTION, **limits: object) -> GenerationRequest:
    return GenerationRequest(messages=(("system", "Be brief."), ("user", text)), **{"max_tokens": 30, **limits})  # type: ignore[arg-type]


def read(generator: Generator, request: GenerationRequest) -> tuple[str, Chunk]:
    chunks = list(generator.stream(request, threading.Event()))
    return "".join(chunk.text for chunk in chunks), chunks[-1]


def test_it_is_a_generator(generator: Generator) -> None:
    assert isinstance(generator, Generator) and get_settings().generator in generator.model_id


def test_a_text_comes_in_chunks_and_the_last_says_why_it_ends_and_what_it_cost(generator: Generator) -> None:
    chunks = list(generator.stream(ask(max_tokens=200), threading.Event()))
    assert len(chunks) > 3
    assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    last = chunks[-1]
    assert last.finish_reason is FinishReason.LENGTH and last.usage is not None
    assert last.usage.completion_tokens == 200 and last.usage.prompt_tokens > len(QUESTION)


def test_greedy_text_is_the_same_alone_and_in_company(generator: Generator) -> None:
    questions = [f"{number}: " + "why " * number for number in range(16)]
    alone = [read(generator, ask(question, max_tokens=40))[0] for question in questions]
    with ThreadPoolExecutor(16) as readers:
        together = list(readers.map(lambda question: read(generator, ask(question, max_tokens=40))[0], questions))
    assert together == alone and len(set(alone)) > 8


def test_a_seed_gives_the_same_text_again_and_another_gives_another(generator: Generator) -> None:
    first, again, other = (read(generator, ask(temperature=1.0, top_p=0.95, seed=seed))[0] for seed in (4, 4, 5))
    assert first == again != other


def test_a_stop_string_ends_the_text_before_it(generator: Generator) -> None:
    text, _ = read(generator, ask())
    stop = text[len(text) // 2 :][:2]
    shorter, last = read(generator, ask(stop=(stop,)))
    assert shorter == text[: text.index(stop)] and last.finish_reason is FinishReason.STOP


def test_cancelling_ends_the_text_soon_and_keeps_what_was_written(generator: Generator) -> None:
    cancel = threading.Event()
    chunks = iter(generator.stream(ask(max_tokens=450), cancel))
    begun = next(chunks)
    cancel.set()
    began = time.monotonic()
    rest = list(chunks)
    assert time.monotonic() - began < 8
    assert rest[-1].finish_reason is FinishReason.CANCELLED
    assert read(generator, ask(max_tokens=450))[0].startswith(begun.text + "".join(chunk.text for chunk in rest))


def test_a_deadline_ends_the_text_and_says_so(generator: Generator) -> None:
    read(generator, ask(max_tokens=1))
    with ThreadPoolExecutor(8) as others:
        busy = [others.submit(read, generator, ask(max_tokens=450)) for _ in range(8)]
        _, last = read(generator, ask(max_tokens=450, deadline_s=0.4))
        assert last.finish_reason in (FinishReason.DEADLINE, FinishReason.LENGTH)
        assert {future.result()[1].finish_reason for future in busy} == {FinishReason.LENGTH}


def test_imports_are_served_too(generator: Generator) -> None:
    assert read(generator, ask(priority=Priority.BULK))[0] == read(generator, ask())[0]


def test_a_prompt_beyond_the_context_is_refused_with_its_size(generator: Generator) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(generator, ask("x" * CONTEXT))
    assert refused.value.details["field"] == "messages" and str(CONTEXT - 1) in refused.value.message


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_tokens", 0), ("temperature", -1.0), ("temperature", float("nan")), ("top_p", 0.0), ("stop", ("",)), ("deadline_s", 0.0)],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(generator: Generator, field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        generator.stream(ask(**{field: value}), threading.Event())
    assert refused.value.details["field"] == field


def test_after_its_end_it_says_that_it_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_GENERATOR", str(folder))
    get_settings.cache_clear()
    generator = LocalGenerator()
    generator.close()
    with pytest.raises(ModelUnavailable, match="shut down"):
        generator.stream(ask(), threading.Event())
    get_settings.cache_clear()


def test_without_a_generator_the_refusal_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_GENERATOR", "")
    get_settings.cache_clear()
    with closing(LocalGenerator()) as generator, pytest.raises(ModelUnavailable, match="QA_GENERATOR is empty"):
        generator.stream(ask(), threading.Event())
    get_settings.cache_clear()
