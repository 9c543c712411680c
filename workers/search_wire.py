"""What travels for a search beside the encoder: a question or vectors with searches, vectors and hits back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import QAError
from core.types import EntryKind, Filters, FloatArray, Hit, JSONDict, JSONValue, VectorSearch
from workers.wire import Vectors, pack, refusing, unpack, vectors_as_dict, vectors_from_dict
from workers.wire_errors import error_as_dict, error_from_dict


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchBody:
    """What is searched for: a question that is to be encoded, or float32[n, dim] that the model `encoder` made."""

    searches: tuple[VectorSearch, ...]
    text: str | None = None
    vectors: FloatArray | None = None
    encoder: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """For each search the hits of each vector, or what kept it from being done; `encoded` is the question's, where there was one."""

    hits: tuple[list[list[Hit]] | QAError, ...]
    encoded: Vectors | None = None


def search_as_dict(body: SearchBody) -> JSONDict:
    """The body of a search as JSON."""
    row: JSONDict = {"searches": [_search_as_dict(search) for search in body.searches]}
    if body.text is not None:
        row["text"] = body.text
    if body.vectors is not None:
        row |= {"vectors": pack(body.vectors), "dim": body.vectors.shape[1], "encoder": body.encoder}
    return row


def search_from_dict(body: Mapping[str, Any]) -> SearchBody:
    """The body again. Raises InvalidRequest."""
    with refusing("a search"):
        searches = tuple(_search_from_dict(row) for row in body["searches"])
        if "text" in body:
            return SearchBody(searches=searches, text=str(body["text"]))
        return SearchBody(searches=searches, vectors=unpack(body["vectors"], int(body["dim"])), encoder=str(body["encoder"]))


def found_as_dict(found: Found) -> JSONDict:
    """What was found as JSON."""
    row: JSONDict = {"found": [error_as_dict(one) if isinstance(one, QAError) else _hits_as_dict(one) for one in found.hits]}
    if found.encoded is not None:
        row["encoded"] = vectors_as_dict(found.encoded)
    return row


def found_from_dict(row: Mapping[str, Any]) -> Found:
    """What was found again."""
    encoded = vectors_from_dict(row["encoded"]) if "encoded" in row else None
    return Found(
        hits=tuple(error_from_dict(one["error"]) if "error" in one else _hits_from_dict(one) for one in row["found"]), encoded=encoded
    )


def _search_as_dict(search: VectorSearch) -> JSONDict:
    any_of: list[JSONValue] = [list[JSONValue](sorted(group)) for group in search.filters.any_of]
    return {
        "kind": search.kind.value,
        "k": search.k,
        "kb_ids": list(search.kb_ids),
        "revisions": list(search.revisions),
        "any_of": any_of,
        "since_day": search.filters.since_day,
        "until_day": search.filters.until_day,
    }


def _search_from_dict(row: Mapping[str, Any]) -> VectorSearch:
    return VectorSearch(
        kind=EntryKind(row["kind"]),
        k=int(row["k"]),
        kb_ids=tuple(map(int, row["kb_ids"])),
        revisions=tuple(map(int, row["revisions"])),
        filters=Filters(
            any_of=tuple(frozenset(map(str, group)) for group in row["any_of"]),
            since_day=None if row["since_day"] is None else int(row["since_day"]),
            until_day=None if row["until_day"] is None else int(row["until_day"]),
        ),
    )


def _hits_as_dict(hits: Sequence[Sequence[Hit]]) -> JSONDict:
    scores = np.array([hit.score for own in hits for hit in own], dtype=np.float32)
    return {"counts": [len(own) for own in hits], "ids": [hit.id for own in hits for hit in own], "scores": pack(scores)}


def _hits_from_dict(row: Mapping[str, Any]) -> list[list[Hit]]:
    scores = unpack(row["scores"], 1)[:, 0].tolist()
    every = iter([Hit(int(id), score) for id, score in zip(row["ids"], scores, strict=True)])
    return [[next(every) for _ in range(count)] for count in row["counts"]]
