"""No query of a search reads a whole table: the plans of the database that the tests run on."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.retrieval.models import KnowledgeBase
from apps.retrieval.search.hybrid import search_passages
from apps.retrieval.search.nearest import encode_question
from apps.retrieval.search.stored_passages import forget_kinds, passages_of_questions, read_passages
from apps.retrieval.selectors import scope_of, stored_tokens
from core.types import EntryKind, Scope
from tests.documents import put_documents
from tests.plans import scans

pytestmark = pytest.mark.django_db


def test_no_query_of_a_search_scans(kb: KnowledgeBase) -> None:
    put_documents(kb, leave="Ten days of annual leave.", vpn="The network needs a token.")
    encoded = encode_question("annual leave")
    search_passages("annual leave", encoded, scope_of([kb]))
    forget_kinds()
    with CaptureQueriesContext(connection) as queries:
        scope = scope_of([kb])
        assert search_passages("annual leave", encoded, scope).hits
        stored_tokens(EntryKind.PASSAGE, [1, 2, 3], [1])
        passages_of_questions([1, 2, 3])
    asked = [query["sql"] for query in queries if query["sql"].lstrip().upper().startswith("SELECT")]
    assert len(asked) >= 5
    assert {sql: found for sql in asked if (found := scans(sql))} == {}


def test_the_number_of_queries_does_not_grow_with_what_is_found(kb: KnowledgeBase) -> None:
    put_documents(kb, **{f"d{number}": f"The network needs token {number}." for number in range(40)})
    scope, encoded = scope_of([kb]), encode_question("network token")
    search_passages("network token", encoded, scope)
    with CaptureQueriesContext(connection) as queries:
        assert len(search_passages("network token", encoded, scope, k=40).hits) == 40
    assert len(queries) <= 3


def test_passages_of_another_base_are_not_read(kb: KnowledgeBase) -> None:
    documents = put_documents(kb, leave="Ten days of annual leave.")
    passage = documents["leave"].passages.get().pk
    assert read_passages([passage], Scope(kb_ids=(kb.pk + 1,))) == {}
    assert list(read_passages([passage], Scope(kb_ids=(kb.pk,)))) == [passage]
