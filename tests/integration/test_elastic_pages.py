"""How often does a page of search results ask Elasticsearch? Once for its words and once for its vectors."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from apps.retrieval.documents.passage_questions import save_questions
from apps.retrieval.indexes.elastic_connection import ElasticConnection, open_client
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import follower
from apps.retrieval.search.explain import explain_search
from apps.retrieval.search.nearest import encode_question
from apps.retrieval.search.page import search_in_turn
from apps.retrieval.search.params import Search, Sort
from apps.retrieval.selectors import scope_of
from core.config import Settings
from core.types import SearchMode
from tests.documents import WRITER, put_document, put_documents
from tests.elastic import drop_indexes, elasticsearch_url

pytestmark = pytest.mark.django_db
INDEXES = {
    "lexical_index": "apps.retrieval.indexes.elastic_lexical.ElasticLexicalIndex",
    "vector_index": "apps.retrieval.indexes.elastic_vector.ElasticVectorIndex",
}


@pytest.fixture
def requests(configure: Callable[..., None], kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What searches ask Elasticsearch, once documents lie there."""
    prefix, asked, quick = f"t{uuid.uuid4().hex[:12]}", [], ElasticConnection.quick
    configure(elasticsearch_url=elasticsearch_url(), elasticsearch_prefix=prefix, **INDEXES)
    put_documents(kb, **{f"n{number}": f"The bridge opened, part {number}." for number in range(12)})
    search_in_turn(Search(text="bridge"), encode_question("bridge"), scope_of([kb]))
    monkeypatch.setattr(ElasticConnection, "quick", lambda self, work: asked.append(work) or quick(self, work))
    yield asked
    follower().close()
    client = open_client(Settings(elasticsearch_url=elasticsearch_url()))
    drop_indexes(client, prefix)
    client.close()


@pytest.mark.parametrize(("mode", "wanted"), [(SearchMode.LEXICAL, 1), (SearchMode.VECTOR, 1), (SearchMode.HYBRID, 2)])
@pytest.mark.parametrize("sort", list(Sort))
def test_a_page_is_one_request_an_index(requests: list[object], kb: KnowledgeBase, mode: SearchMode, wanted: int, sort: Sort) -> None:
    page = search_in_turn(Search(text="bridge", k=5, mode=mode, sort=sort), encode_question("bridge"), scope_of([kb]))
    assert (page["total"], len(page["hits"]), page["degraded"]) == (12, 5, False)
    assert len(requests) == wanted


def test_explain_shows_what_matched_in_the_extra_question(requests: list[object], kb: KnowledgeBase) -> None:
    passage = put_document(kb, "vpn", "Ask the help desk for a token.").passages.get()
    save_questions(kb, passage, ["Why is logging in from home refused?"], WRITER)
    text, scope = "refused at home", scope_of([kb])
    (hit,) = explain_search(Search(text=text), encode_question(text), kb, scope, "vpn")["hits"][:1]
    assert (hit["document"], hit["terms"], set(hit["question"]["terms"])) == ("vpn", {}, {"refus", "home"})
    assert sum(hit["question"]["terms"].values()) == pytest.approx(hit["says"]["bm25"], abs=1e-3)
