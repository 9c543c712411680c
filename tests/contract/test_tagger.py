"""What every Tagger does, and that its spans are those of transformers. A new implementation adds its name to IMPLEMENTATIONS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from core.config import get_settings
from core.protocols import Span, Tagger
from tests.inference_workers import redis_url, start_worker
from tests.model_folders import make_tagger
from tests.unit.workers.conftest import e5_file, tiny_folder, unigram  # noqa: F401 - fixtures
from workers.dispatch import Dispatcher
from workers.remote import RemoteTagger
from workers.tagger import LocalTagger

IMPLEMENTATIONS = ["local", "remote"]
TEXTS = ["张三在北京", "how reset the password", "怎么重置密码？ 上海 reset", "abc xyz", "年假有几天"]
ODD_TEXTS = ["", " ", "😀👨‍👩‍👧", "\x00\x01", "[SEP] [MASK] 张三", "a " * 20_000, "密" * 5000, "\ud800"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tagger(tmp_path_factory.mktemp("models") / "tiny-tagger")


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def tagger(request: pytest.FixtureRequest, folder: Path, tiny_folder: Path) -> Iterator[Tagger]:  # noqa: F811
    with pytest.MonkeyPatch.context() as environ:
        chosen = {"QA_ENCODER": str(tiny_folder), "QA_TAGGER": str(folder), "QA_DEVICE": "cpu", "QA_MODEL_PRECISION": "fp32"}
        chosen["QA_REMOTE_TIMEOUT_S"] = "60"
        for name, value in chosen.items():
            environ.setenv(name, value)
        get_settings.cache_clear()
        with closing(LocalTagger()) if request.param == "local" else remote_tagger(chosen) as made:
            yield made
    get_settings.cache_clear()


@contextmanager
def remote_tagger(chosen: dict[str, str]) -> Iterator[RemoteTagger]:
    """A worker with the same model behind a Redis database of this module's."""
    url = redis_url(6)
    with start_worker(url, chosen) as worker:
        assert "tagger" in worker.wait_until_alive().roles
        with closing(RemoteTagger(Dispatcher(get_settings().model_copy(update={"redis_url": url})))) as tagger:
            yield tagger


def rounded(spans: list[Span]) -> list[tuple[int, int, str, float]]:
    return [(span.start, span.end, span.type, round(span.score, 3)) for span in spans]


def test_it_is_a_tagger(tagger: Tagger) -> None:
    assert isinstance(tagger, Tagger)


def test_spans_are_those_of_transformers(tagger: Tagger, folder: Path) -> None:
    from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    model = AutoModelForTokenClassification.from_pretrained(folder)
    theirs = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple")
    found = tagger.tag(TEXTS)
    for text, spans in zip(TEXTS, found, strict=True):
        expected = [(one["start"], one["end"], one["entity_group"], round(float(one["score"]), 3)) for one in theirs(text)]
        assert rounded(spans) == expected
    assert len({span.type for spans in found for span in spans}) > 1


def test_a_text_has_the_same_spans_alone_and_in_company(tagger: Tagger) -> None:
    assert [rounded(spans) for spans in tagger.tag(TEXTS)] == [rounded(tagger.tag([text])[0]) for text in TEXTS]


def test_many_texts_keep_their_order(tagger: Tagger) -> None:
    alone = dict(zip(TEXTS, map(rounded, tagger.tag(TEXTS)), strict=True))
    texts = [TEXTS[number * 7 % len(TEXTS)] for number in range(300)]
    assert [rounded(spans) for spans in tagger.tag(texts)] == [alone[text] for text in texts]


def test_no_texts_have_no_spans(tagger: Tagger) -> None:
    assert tagger.tag([]) == []


@pytest.mark.parametrize("text", ODD_TEXTS, ids=[repr(text[:12]) for text in ODD_TEXTS])
def test_spans_of_any_text_lie_within_it_in_order(tagger: Tagger, text: str) -> None:
    (spans,) = tagger.tag([text])
    assert all(0 <= span.start < span.end <= len(text) and 0 <= span.score <= 1 for span in spans)
    assert all(one.end <= next_one.start for one, next_one in zip(spans, spans[1:], strict=False))


def test_a_text_longer_than_the_model_takes_is_tagged_to_its_end(tagger: Tagger) -> None:
    (spans,) = tagger.tag(["张三在北京。" * 60])
    assert spans and spans[-1].end > 300


def test_threads_get_the_spans_of_their_own_texts(tagger: Tagger) -> None:
    expected, got = {text: rounded(tagger.tag([text])[0]) for text in TEXTS}, {}
    threads = [threading.Thread(target=lambda text=text: got.update({text: rounded(tagger.tag([text])[0])})) for text in TEXTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == expected
