"""Which entries lie nearest to a question's vector? kNN in Elasticsearch: exact while a knowledge base is small, a graph beyond."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import elasticsearch
import numpy as np
import orjson

from apps.retrieval.indexes.elastic_build import ElasticBuild
from apps.retrieval.indexes.elastic_bulk import Action
from apps.retrieval.indexes.elastic_connection import ElasticConnection, unavailable_item
from apps.retrieval.indexes.elastic_following import FACTS, ElasticFollowing
from apps.retrieval.indexes.elastic_held import Held
from apps.retrieval.indexes.elastic_ids import PAGE
from apps.retrieval.indexes.elastic_lexical import conditions, fact_fields
from apps.retrieval.indexes.elastic_state import STATE_FIELDS
from core.config import get_settings
from core.errors import IndexMismatch
from core.types import NO_FACTS, NO_FILTERS, EntryKind, Facts, Filters, FloatArray, Hit, JSONDict, Scope

EXACT: JSONDict = {"type": "flat"}
GRAPH: JSONDict = {"type": "int8_hnsw", "m": 16, "ef_construction": 100}
CANDIDATES = 200  # how many the graph is searched for, at least
OVERSAMPLE = 2.0  # of the graph's hits, which are found by 8-bit numbers, so many times k are scored again by the vectors themselves


class ElasticVectorBuild(ElasticBuild):
    """VectorBuild in Elasticsearch."""

    def put(self, kb_id: int, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts] = (), *, as_of: int = 0) -> None:
        """Adds or replaces vectors float32[n, dim] by id, with the facts of each. Raises IndexMismatch where `dim` differs from the first."""
        if len(ids):
            self.add(_documents(kb_id, self.held, ids, vectors, facts, as_of))


class ElasticVectorIndex(ElasticFollowing):
    """VectorIndex in Elasticsearch. Filters are part of the kNN search itself.

    Vectors lie there twice: as Elasticsearch searches them, and packed (float16, base64) as `vectors` reads them back.
    """

    part = "vectors"
    is_shared = True
    keeps_generation_before = True

    def __init__(
        self, kind: EntryKind = EntryKind.FAQ, *, connection: ElasticConnection | None = None, exact_max: int | None = None
    ) -> None:
        super().__init__(kind, connection=connection)
        self._exact_max = get_settings().vector_exact_max if exact_max is None else exact_max

    def made_by(self, encoder: str) -> ElasticVectorIndex:
        """This index: all processes switch from one encoder's vectors to another's at once."""
        return self

    def forget(self, kb_id: int) -> None:
        """Nothing of it is in this process's memory."""

    def search(self, vector: FloatArray, k: int, scope: Scope, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Up to `k` hits that the filters admit, best first; score is the cosine.

        Raises IndexMismatch for a vector of another length, SearchUnavailable.
        """
        if k <= 0 or not all(filters.any_of):
            return []
        body = _body(vector, min(k, PAGE), filters)
        found = self.search_each(dict.fromkeys(dict.fromkeys(scope.kb_ids), body))
        hits = [Hit(hit.id, _inner_product(hit.score)) for own in found.values() for hit in own]
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:k]

    def vectors(self, kb_id: int, ids: Sequence[int]) -> dict[int, FloatArray]:
        """float32[dim] of each visible entry among `ids`, rounded to half precision."""
        if not ids:
            return {}
        alias, wanted = self.alias(kb_id), [str(int(entry_id)) for entry_id in ids]
        try:
            answer = self.connection.quick(lambda client: client.mget(index=alias, ids=wanted, source_includes=["packed"], realtime=False))
        except elasticsearch.NotFoundError:
            return {}
        found = {int(row["_id"]): row["_source"].get("packed") for row in answer["docs"] if row.get("found")}
        return {entry_id: _unpack(packed) for entry_id, packed in found.items() if packed}

    def put(self, kb_id: int, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts] = (), *, as_of: int = 0) -> None:
        """Adds or replaces vectors float32[n, dim] by id, with the facts of each; takes effect with `refresh`.

        Raises IndexMismatch where `dim` is not that of the vectors already here.
        """
        if len(ids):
            held = self._holding(kb_id)
            held.add(_documents(kb_id, held, ids, vectors, facts, as_of))

    def building(self, kb_id: int, built_with: str, *, no_later_than: int = 0) -> AbstractContextManager[ElasticVectorBuild]:
        """A new index, filled aside, of vectors of any length, or the kept one. Raises SearchUnavailable where another process builds one for long."""
        return self.build_aside(ElasticVectorBuild(self, kb_id, built_with), no_later_than=no_later_than)

    def mappings(self, note: JSONDict) -> JSONDict:
        """An entry: its id, its vector, the same packed, and what it can be filtered by."""
        vector = _vector_field(note, EXACT)
        fields: JSONDict = {**STATE_FIELDS, **FACTS, "packed": {"type": "binary"}, "vector": vector}
        return {"_source": {"excludes": ["vector"]}, "properties": fields}

    def after_bulk(self, held: Held) -> None:
        """From `exact_max` entries on, what is merged from now on gets a graph; the rest goes on being scanned."""
        if held.note.get("graph"):
            return
        count = self.connection.patient(lambda client: client.count(index=held.index, query={"exists": {"field": "id"}}))["count"]
        if count > self._exact_max:
            field = {"vector": _vector_field(held.note, GRAPH)}
            self.connection.patient(lambda client: client.indices.put_mapping(index=held.index, properties=field))
            held.note["graph"] = True

    def refused(self, kb_id: int, error: dict[str, object]) -> Exception:
        """A vector of another length is a mismatch; anything else has the usual meaning."""
        return mismatch(kb_id) if "number of dimensions" in str(error) else unavailable_item(error)


def _documents(kb_id: int, held: Held, ids: Sequence[int], vectors: FloatArray, facts: Sequence[Facts], as_of: int) -> Iterator[Action]:
    """Each entry as it is stored; notes the length of the first vectors."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.shape != (len(ids), rows.shape[-1]):
        raise ValueError(f"{len(ids)} ids need as many rows, not an array of shape {rows.shape}.")
    if held.note.setdefault("dims", rows.shape[1]) != rows.shape[1]:
        raise mismatch(kb_id)
    for entry_id, row, own in zip(map(int, ids), rows, facts or [NO_FACTS] * len(ids), strict=True):
        document = {"id": entry_id, "vector": row, "packed": _pack(row), **fact_fields(own)}
        yield Action(entry_id, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), as_of)


def mismatch(kb_id: int) -> IndexMismatch:
    """The refusal of vectors of another length."""
    message = f"The vector index of knowledge base {kb_id} holds vectors of another length. Run `manage.py reindex`."
    return IndexMismatch(message, repair="manage.py reindex", kb=kb_id)


def _vector_field(note: JSONDict, options: JSONDict) -> JSONDict:
    return {"type": "dense_vector", "dims": note["dims"], "index": True, "similarity": "max_inner_product", "index_options": options}


def _body(vector: FloatArray, k: int, filters: Filters) -> JSONDict:
    knn: JSONDict = {
        "field": "vector",
        "query_vector": np.asarray(vector, dtype=np.float32).tolist(),
        "k": k,
        "num_candidates": min(max(CANDIDATES, 2 * k), PAGE),
        "rescore_vector": {"oversample": OVERSAMPLE},
        "filter": conditions(filters),
    }
    return {"knn": knn, "size": k, "_source": False, "track_total_hits": False}


def _inner_product(score: float) -> float:
    """What Elasticsearch's score of `max_inner_product`, which is above zero, stands for."""
    return score - 1.0 if score >= 1.0 else 1.0 - 1.0 / score


def _pack(row: FloatArray) -> str:
    return base64.b64encode(row.astype("<f2").tobytes()).decode()


def _unpack(packed: str) -> FloatArray:
    return np.frombuffer(base64.b64decode(packed), dtype="<f2").astype(np.float32)
