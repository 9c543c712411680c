"""Searching documents: what is found, in which order, by whom, and what is left when a part is away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from django.contrib.auth.models import Group

from apps.accounts.keys import caller_of_user
from apps.accounts.models import User
from apps.accounts.permissions import Caller
from apps.retrieval.documents.facts import facts_of
from apps.retrieval.documents.services import delete_documents
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Document, EntryVector, KnowledgeBase, PassageQuestion
from apps.retrieval.outbox.indexing import put_entries
from apps.retrieval.query_layer.services import QueryLayerSettings, save_query_layer
from apps.retrieval.search.hybrid import SearchResult, search_passages
from apps.retrieval.search.nearest import encode_question
from apps.retrieval.selectors import scope_of
from apps.retrieval.vectors.token_vectors import TokenProjection, weights_of
from core.backends import use_backend
from core.config import get_settings
from core.errors import ModelUnavailable, SearchUnavailable
from core.types import EntryKind, Filters, FloatArray, SearchMode
from tests.documents import WRITER, put_document, put_documents
from tests.encoders import HashingEncoder

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def library(kb: KnowledgeBase) -> dict[str, Document]:
    return put_documents(
        kb,
        leave="Employees have ten days of annual leave. Unused days expire in March.",
        travel="Travel costs are refunded within thirty days. Keep every receipt.",
        vpn="The network needs a token. Ask the help desk for a new token.",
    )


def search(kb: KnowledgeBase, text: str, groups: tuple[str, ...] | None = (), **options: object) -> SearchResult:
    return search_passages(text, encode_question(text), scope_of([kb], groups), **options)


def ids(result: SearchResult) -> list[str]:
    return [hit.passage.document for hit in result.hits]


@pytest.mark.parametrize("mode", list(SearchMode))
def test_each_way_of_searching_finds_the_passage_with_the_words(kb: KnowledgeBase, mode: SearchMode) -> None:
    result = search(kb, "How are travel costs refunded?", mode=mode)
    assert ids(result)[0] == "travel"
    assert not result.degraded


def test_a_hit_says_where_it_lies_and_what_its_score_is_made_of(kb: KnowledgeBase) -> None:
    hit = search(kb, "annual leave days").hits[0]
    document = Document.objects.get(external_id="leave")
    assert document.text[hit.passage.start : hit.passage.end] == hit.passage.text
    assert hit.cosine and hit.bm25 > 0


def test_scores_fall_from_hit_to_hit(kb: KnowledgeBase) -> None:
    scores = [hit.score for hit in search(kb, "token for travel days").hits]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("gone", ["deleted", "archived"])
def test_what_is_deleted_or_archived_is_gone_at_once(kb: KnowledgeBase, library: dict[str, Document], gone: str) -> None:
    if gone == "deleted":
        delete_documents(kb, [library["vpn"]], WRITER)
    else:
        Document.objects.filter(external_id="vpn").update(status=Document.Status.ARCHIVED)
    assert "vpn" not in ids(search(kb, "network token help desk"))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> KnowledgeBase:
    """A base whose passages have token vectors: the hashing encoder's as they are."""
    plain = TokenProjection(encoder="hashing@1", mean=np.zeros(64), components=np.eye(64), idf=np.zeros(64), idf_bias=1.0)
    monkeypatch.setattr("apps.retrieval.vectors.token_vectors._packaged", lambda: {weights_of(plain.encoder): plain})
    base = KnowledgeBase.objects.create(slug="tokens", name="Tokens")
    put_documents(base, token="The network needs a token.", desk="The help desk has keys.", leave="Ten days of annual leave.")
    return base


def test_the_first_hits_are_compared_token_by_token(compared: KnowledgeBase) -> None:
    hits = search(compared, "network token").hits
    assert hits[0].passage.document == "token"
    assert hits[0].met > 0.7 > 0.5 > hits[1].met


def test_what_is_gone_with_its_token_vectors_does_not_keep_the_others_from_being_compared(compared: KnowledgeBase) -> None:
    search(compared, "help desk")
    gone = Document.objects.get(external_id="desk")
    Document.objects.filter(pk=gone.pk).update(status=Document.Status.ARCHIVED)
    EntryVector.objects.filter(entry__owner_id=gone.passages.get().pk, entry__kind=EntryKind.PASSAGE).update(tokens=None)
    hits = search(compared, "help desk").hits
    assert {hit.passage.document for hit in hits} == {"token", "leave"} and all(hit.met is not None for hit in hits)


def test_where_a_passage_that_may_be_shown_has_no_token_vectors_none_is_compared(compared: KnowledgeBase) -> None:
    passage = Document.objects.get(external_id="desk").passages.get()
    EntryVector.objects.filter(entry__owner_id=passage.pk, entry__kind=EntryKind.PASSAGE).update(tokens=None)
    assert {hit.met for hit in search(compared, "help desk").hits} == {None}


def test_another_base_is_not_searched(kb: KnowledgeBase) -> None:
    other = KnowledgeBase.objects.create(slug="other", name="Other")
    put_documents(other, secret="The network needs a secret token.")
    assert "secret" not in ids(search(kb, "secret network token"))
    assert ids(search(other, "secret network token")) == ["secret"]


def test_a_document_with_an_access_list_is_found_by_its_groups_only(kb: KnowledgeBase) -> None:
    put_document(kb, "pay", "Salary bands of all employees.", access=("hr",))
    assert "pay" not in ids(search(kb, "salary bands"))
    assert "pay" not in ids(search(kb, "salary bands", groups=("it",)))
    assert ids(search(kb, "salary bands", groups=("it", "HR")))[0] == "pay"
    assert ids(search(kb, "salary bands", groups=None))[0] == "pay"


def test_a_persons_groups_are_those_of_the_panel() -> None:
    person = User.objects.create(username="ada")
    person.groups.add(Group.objects.create(name="hr"))
    assert caller_of_user(person).groups == ("hr",)


def test_filters_narrow_inside_the_search(kb: KnowledgeBase) -> None:
    put_document(kb, "new", "The network token of the lab.", tags=("lab",), day="2026-05-04")
    assert ids(search(kb, "network token", k=1, filters=Filters(any_of=(frozenset({"tag=lab"}),)))) == ["new"]


def test_without_an_encoder_words_find_and_the_result_says_so(kb: KnowledgeBase) -> None:
    result = search_passages("travel costs", None, scope_of([kb]))
    assert ids(result)[0] == "travel" and result.degraded


def test_vectors_alone_cannot_be_had_without_an_encoder(kb: KnowledgeBase) -> None:
    with pytest.raises(ModelUnavailable):
        search_passages("travel costs", None, scope_of([kb]), mode=SearchMode.VECTOR)


def test_a_base_that_another_encoder_built_is_searched_by_words(kb: KnowledgeBase) -> None:
    encoded = replace(encode_question("travel costs"), encoder="another@9")
    result = search_passages("travel costs", encoded, scope_of([kb]))
    assert ids(result)[0] == "travel" and result.degraded and result.hits[0].cosine is None


@pytest.fixture
def boxes(kb: KnowledgeBase, admin_caller: Caller) -> KnowledgeBase:
    """Documents that call things otherwise than people do, and a curator who knows how."""
    put_documents(
        kb,
        gauge="超声波测厚仪 BC-500 保修二十四个月。",
        leave_zh="婚假有十天，须提前申请。",
        box="盒子放在仓库的二楼。",
        blue="蓝色的标签贴在左边。",
    )
    save_query_layer(kb, QueryLayerSettings(synonyms="蓝盒子 => BC-500, 超声波测厚仪"), admin_caller)
    return kb


@pytest.mark.parametrize(("asked", "first"), [("蓝盒子保修多久", "gauge"), ("hunjia", "leave_zh")])
def test_a_question_is_searched_as_the_query_layer_reads_it_too(boxes: KnowledgeBase, asked: str, first: str) -> None:
    found = search(boxes, asked)
    assert ids(found)[0] == first
    assert found.read_as is not None and found.read_as.text != asked


def test_a_model_number_is_found_however_it_is_written(boxes: KnowledgeBase) -> None:
    assert [ids(search(boxes, typed))[0] for typed in ("bc500", "bc-500", "BC 500")] == ["gauge"] * 3


def test_words_that_entries_have_are_searched_as_they_are_asked(
    boxes: KnowledgeBase, encoder: HashingEncoder, admin_caller: Caller
) -> None:
    save_query_layer(boxes, QueryLayerSettings(synonyms="盒子 => 超声波测厚仪"), admin_caller)
    question = encode_question("盒子放在哪里")
    before = encoder.texts_encoded
    found = search_passages("盒子放在哪里", question, scope_of([boxes]))
    assert ids(found)[0] == "box" and found.read_as is None
    assert encoder.texts_encoded == before


def test_a_reading_that_cannot_be_encoded_leaves_the_question_as_it_was_asked(
    boxes: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = encode_question("蓝盒子保修多久")
    monkeypatch.setattr("apps.retrieval.search.hybrid.encode_question_if_possible", lambda text, searches: None)
    found = search_passages("蓝盒子保修多久", question, scope_of([boxes]))
    assert found.hits and found.read_as is None and not found.degraded


class Away:
    """An index that cannot be reached."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def refuse(*args: object, **options: object) -> object:
            raise SearchUnavailable("The index is away.")

        return refuse


def take_away(monkeypatch: pytest.MonkeyPatch, *parts: str) -> None:
    pair = replace(indexes_for(EntryKind.PASSAGE), **dict.fromkeys(parts, Away()))
    for module in ("proposals", "nearest"):
        monkeypatch.setattr(f"apps.retrieval.search.{module}.indexes_for", lambda kind: pair)


@pytest.mark.parametrize("part", ["lexical", "vector"])
def test_one_index_away_leaves_the_other(kb: KnowledgeBase, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search(kb, "travel costs")
    take_away(monkeypatch, part)
    result = search(kb, "travel costs")
    assert ids(result)[0] == "travel" and result.degraded


def test_both_indexes_away_is_an_error(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    search(kb, "travel costs")
    take_away(monkeypatch, "lexical", "vector")
    with pytest.raises(SearchUnavailable):
        search(kb, "travel costs")


def test_a_question_that_a_passage_answers_finds_it(kb: KnowledgeBase, library: dict[str, Document]) -> None:
    question = PassageQuestion.objects.create(passage=library["vpn"].passages.get(), text="Why can I not log in from home?")
    put_entries(kb, EntryKind.QUESTION, [(question.pk, question.text)], None, {question.pk: facts_of(library["vpn"])})
    assert ids(search(kb, "log in from home", mode=SearchMode.LEXICAL)) == ["vpn"]
    assert "vpn" in ids(search(kb, "Why can I not log in from home?"))


class ByLength:
    """A reranker that likes long passages; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def score(self, query: str, passages: Sequence[str]) -> FloatArray:
        """float32[n]."""
        self.asked.append((query, len(passages)))
        return np.array([len(passage) for passage in passages], dtype=np.float32)


def test_a_configured_reranker_has_the_last_word(kb: KnowledgeBase, configure: Callable[..., None]) -> None:
    put_document(kb, "long", "A token is a thing. " * 12)
    configure(reranker="some-cross-encoder", reranker_backend="tests.by_length")
    reranker = ByLength()
    use_backend(get_settings().reranker_backend, reranker)
    use_backend(get_settings().encoder_backend, HashingEncoder())
    result = search(kb, "network token")
    assert ids(result)[0] == "long" and result.hits[0].reranked
    assert reranker.asked == [("network token", 4)]
    assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)


def test_a_scope_without_documents_costs_no_query(django_assert_num_queries: Callable[..., object]) -> None:
    empty = KnowledgeBase.objects.create(slug="empty", name="Empty")
    scope = scope_of([empty])
    assert search_passages("anything", None, scope) == SearchResult()
    with django_assert_num_queries(0):
        search_passages("anything", None, scope)
