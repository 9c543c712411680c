"""Do written answers rest on the documents, with the real encoder and the real generator? A small part of `bench/grounding.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.dialogue.demo_documents import FOLDER
from bench.grounding import Bench, Obedient, chosen, shown_sentences
from core.backends import close_backends, load_object, use_backend
from core.config import get_settings
from core.errors import ModelUnavailable

pytestmark = [pytest.mark.real_model, pytest.mark.django_db]


@pytest.fixture
def bench(real_model_folder: Path, configure: Callable[..., None]) -> Iterator[Bench]:
    """A bot over the demo documents, whose answers the default generator writes, briefly."""
    configure(model_dir=real_model_folder.parent, answer_max_tokens=32, prompt_max_tokens=200, answer_deadline_s=60, turn_deadline_s=300)
    yield Bench()
    close_backends()


@pytest.fixture
def generator_folder() -> Path:
    named = os.environ.get("WENLU_TEST_MODEL_DIR")
    folder = (Path(named) if named else Path.home() / ".cache" / "wenlu" / "models") / get_settings().generator
    try:
        made: Path = load_object("workers.weights.materialise")(folder.name, folder)
    except ModelUnavailable as error:
        pytest.skip(f"the weights of {folder.name} cannot be had here: {error}")
    return made


def test_what_the_generator_writes_reaches_the_reader_only_as_far_as_a_document_says_it(generator_folder: Path, bench: Bench) -> None:
    documents = "\n".join(path.read_text() for path in FOLDER.glob("*.md"))
    drafted = 0
    for row in chosen("questions.jsonl", 1):
        found = bench.answer(row)
        supported = [one["text"] for one in found["sentences"] if one["verdict"] == "supported"]  # type: ignore[attr-defined, index]
        drafted += len(found["sentences"])  # type: ignore[arg-type]
        assert not found["degraded"]
        assert found["by"] == ("generator" if supported else "extraction")
        assert all(sentence in supported or sentence in documents for sentence in shown_sentences(str(found["answer"])))
    assert drafted > 0


def test_a_generator_that_obeys_every_order_in_a_document_is_not_heard(bench: Bench) -> None:
    use_backend(get_settings().generator_backend, Obedient())
    found = [bench.inject(row) for row in chosen("injections.jsonl", 4)]
    assert [row["id"] for row in found if row["followed"]] == []
    assert all(row["sentences"] for row in found)
