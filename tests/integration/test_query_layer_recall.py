"""Does the query layer cost anything where nothing is wrong with a question? The demo's held-out questions, by words alone, with it and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from apps.retrieval.indexes.lexical import EmbeddedLexicalIndex
from apps.retrieval.query_layer import layer as query_layer
from apps.retrieval.query_layer.layer import Layer, make_layer, search_words
from apps.retrieval.query_layer.rules import parse_synonyms
from core.types import IndexEntry, Scope

ROOT = Path(__file__).resolve().parents[2]
AS_TYPED = make_layer(corrects_typos=False, reads_numbers=False)
LAYERS = {
    "typing errors and numbers": make_layer(),
    "words and synonyms too": make_layer(
        words=["青禾系统", "年假", "补卡"], rules=parse_synonyms("报销, 请款\n工资, 薪水, 薪资\n年假, 年休假\nOA => 办公系统\n电脑, 计算机")
    ),
}


def rows_of(path: Path) -> Iterator[dict]:
    with path.open("rb") as file:
        yield from map(orjson.loads, file)


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, str]]:
    """(FAQ, phrasing) of the demo."""
    faqs = rows_of(ROOT / "apps/dialogue/demo/faqs_employee.zh.jsonl")
    return [(str(faq["id"]), text) for faq in faqs for text in faq["questions"]]


@pytest.fixture(scope="module")
def asked() -> list[tuple[str, frozenset[str]]]:
    """Questions that an answer fits, with the FAQs that do; every third, to be quick."""
    rows = [row for row in rows_of(ROOT / "tests/quality/demo/gold_employee.zh.jsonl") if row["relevant"]]
    return [(row["query"], frozenset(row["relevant"])) for row in rows[::3]]


Find = Callable[[Layer, str, int], list[str]]


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def layer(request: pytest.FixtureRequest) -> Layer:
    made: Layer = request.param
    return made


@pytest.fixture
def find(layer: Layer, texts: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Find:
    """The FAQs of the first hits in an index of a base that has the layer, for a question read by this or another one."""
    index = EmbeddedLexicalIndex(folder=tmp_path)
    monkeypatch.setattr(query_layer, "read_layer", lambda kb_id: layer)
    with index.exclusive(1):
        marked = query_layer.marked_texts(1, [text for _, text in texts])
        index.put(1, [IndexEntry(id=number, text=text) for number, text in enumerate(marked)])
        index.refresh(1, 1)

    def found(used: Layer, question: str, k: int) -> list[str]:
        monkeypatch.setattr(query_layer, "layer_of", lambda kb_id: used)
        return [texts[hit.id][0] for hit in search_words(index, question, k, Scope(kb_ids=(1,)))]

    return found


def test_whatever_a_question_finds_as_it_was_typed_it_finds_with_the_layer_too(
    find: Find, layer: Layer, asked: list[tuple[str, frozenset[str]]]
) -> None:
    one_way = replace(layer, synonyms=AS_TYPED.synonyms, corrects_typos=False, reads_numbers=False)
    for question, _ in asked:
        assert set(find(layer, question, 20)) >= set(find(one_way, question, 20)), question


@pytest.mark.parametrize("k", [1, 5])
def test_the_right_answer_is_among_the_first_no_less_often(
    find: Find, layer: Layer, asked: list[tuple[str, frozenset[str]]], k: int
) -> None:
    with_it, without = (sum(bool(right & set(find(one, text, k)[:k])) for text, right in asked) for one in (layer, AS_TYPED))
    assert with_it >= without > len(asked) // 2
