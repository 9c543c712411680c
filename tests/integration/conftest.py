"""What do integration tests share? Knowledge bases with something in them, places for indexes, and a kind of job."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.indexes import elastic_build
from apps.retrieval.indexes.elastic_connection import open_client
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.follower import close_followers
from apps.serving.jobs import kinds
from core.config import Settings
from tests.elastic import drop_indexes, elasticsearch_url
from tests.indexed_entries import ALL, LEXICAL, VECTOR, found, put
from tests.jobs import COUNTING, Counting


@pytest.fixture
def filled(kb: KnowledgeBase, admin_caller: object) -> KnowledgeBase:
    """`kb` with ten published FAQs of two phrasings."""
    rows = [parse_row({"id": f"{n}", "questions": [f"第{n}个问题", f"question {n}"], "answer": f"{n}"}) for n in range(10)]
    save_faqs(kb, rows, admin_caller)  # type: ignore[arg-type]
    return kb


@pytest.fixture
def other(db: None) -> KnowledgeBase:
    """A second knowledge base."""
    return KnowledgeBase.objects.create(slug="it", name="IT")


@pytest.fixture
def counting() -> Iterator[Counting]:
    """The kind of job that counts, known during a test."""
    yield Counting()
    kinds._kinds.pop(COUNTING)


@pytest.fixture(params=["embedded", "elastic"])
def store(request: pytest.FixtureRequest, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both indexes on this machine, or both in Elasticsearch."""
    if request.param == "embedded":
        yield request.param
        return
    if not request.node.get_closest_marker("django_db").kwargs.get("transaction"):  # within a transaction nobody else searches
        monkeypatch.setattr(elastic_build, "KEPT_S", 0.0)
    prefix, path = f"t{uuid.uuid4().hex[:12]}", "apps.retrieval.indexes"
    configure(
        lexical_index=f"{path}.elastic_lexical.ElasticLexicalIndex",
        vector_index=f"{path}.elastic_vector.ElasticVectorIndex",
        elasticsearch_url=elasticsearch_url(),
        elasticsearch_prefix=prefix,
    )
    yield request.param
    close_followers()
    client = open_client(Settings(elasticsearch_url=elasticsearch_url()))
    drop_indexes(client, prefix)
    client.close()


@pytest.fixture
def filled_kb(store: str, kb: KnowledgeBase) -> KnowledgeBase:
    """Eight entries, found by words and by vectors."""
    put(kb, *ALL)
    assert found(kb, LEXICAL) == found(kb, VECTOR) == (ALL, False)
    return kb
