"""Searches and hits survive the way there and back, and nonsense is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given

from core.errors import IndexMismatch, InvalidRequest
from core.types import EntryKind, Filters, Hit, VectorSearch
from tests.facts import filters
from workers.search_wire import Found, SearchBody, found_as_dict, found_from_dict, search_as_dict, search_from_dict
from workers.wire import Vectors

SEARCH = VectorSearch(kind=EntryKind.FAQ, k=20, kb_ids=(3, 1), revisions=(7, 9))


@given(narrowed=filters())
def test_a_search_comes_back_as_it_was(narrowed: Filters) -> None:
    search = VectorSearch(kind=EntryKind.PASSAGE, k=5, kb_ids=(1,), filters=narrowed)
    sent = json.loads(json.dumps(search_as_dict(SearchBody(searches=(SEARCH, search), text="怎么"))))
    assert search_from_dict(sent) == SearchBody(searches=(SEARCH, search), text="怎么")


def test_vectors_to_search_with_come_back_with_their_encoder() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    sent = json.loads(json.dumps(search_as_dict(SearchBody(searches=(SEARCH,), vectors=rows, encoder="tiny@1"))))
    body = search_from_dict(sent)
    assert body.vectors is not None and body.vectors.tolist() == rows.tolist() and (body.encoder, body.text) == ("tiny@1", None)


def test_hits_and_refusals_come_back_each_in_its_place() -> None:
    hits = [[Hit(2**40, 0.5), Hit(1, 0.25)], [], [Hit(3, -1.0)]]
    encoded = Vectors(model_id="tiny@1", vectors=np.ones((1, 2), np.float32), token_vectors=(np.zeros((3, 2), np.float32),))
    found = Found(hits=(hits, IndexMismatch("Run this.", repair="manage.py reindex")), encoded=encoded)
    back = found_from_dict(json.loads(json.dumps(found_as_dict(found))))
    assert back.hits[0] == hits
    assert isinstance(back.hits[1], IndexMismatch) and back.hits[1].details == {"repair": "manage.py reindex"}
    assert back.encoded is not None and back.encoded.model_id == "tiny@1" and len(back.encoded.token_vectors or ()) == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"searches": [{}], "text": "q"}, {"searches": 5, "text": "q"}, {"searches": [], "vectors": "AAAA", "dim": "x", "encoder": "e"}],
)
def test_what_is_no_search_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="Not a search"):
        search_from_dict(body)
