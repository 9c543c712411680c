"""How does a view's large part come to be? A graph or clusters by size, rows on a GPU where there is one, with the view's rows added: built aside, then put in place."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from apps.retrieval.indexes.fact_table import Mask
from apps.retrieval.indexes.large_part import IdArray, LargePart, add_living, add_rows, writable_copy
from apps.retrieval.indexes.vector_clusters import LEAST_ROWS, Clusters, sample_size, trained_clusters
from apps.retrieval.indexes.vector_gpu import GpuRows, empty_rows, gpu_is_there
from apps.retrieval.indexes.vector_graph import Graph, empty_graph
from apps.retrieval.indexes.vector_view import VectorView

MAX_DEAD_SHARE = 0.2
MOST_ROWS_BESIDE = 50  # the large part takes rows in once there is one for so many nodes


def is_due(view: VectorView, exact_max: int) -> bool:
    """Whether rows are beyond what is scanned exactly: all of it before there is a large part, a quarter beside one."""
    if view.large is None:
        return len(view.row_ids) > exact_max
    beside = max(exact_max // 4, view.nodes // MOST_ROWS_BESIDE)
    return len(view.row_ids) > beside or view.dead_share > MAX_DEAD_SHARE


def enlarged(view: VectorView, clusters_min: int, stop: threading.Event) -> tuple[LargePart, Mask]:
    """The view's large part with its rows added, on a copy, and which nodes live; raises BuildStopped once `stop` is set.

    A new one is built of all that lives where there is none, more than a fifth is dead, or it has outgrown its kind.
    """
    if view.large is None or view.alive is None or view.dead_share > MAX_DEAD_SHARE or _outgrown(view, clusters_min):
        large = _built(view, clusters_min, stop)
        return large, np.ones(len(large.ids), np.bool_)
    index = writable_copy(view.large.index)
    add_rows(index, view.rows, stop)
    alive = np.concatenate([view.alive, np.ones(len(view.row_ids), np.bool_)])
    ids, facts = np.concatenate([view.large.ids, view.row_ids]), view.large.facts.followed_by(view.row_facts)
    return type(view.large)(index, ids, facts), alive


def _outgrown(view: VectorView, clusters_min: int) -> bool:
    if isinstance(view.large, Clusters) and view.large.outgrown:
        return True
    return not isinstance(view.large, Clusters) and not isinstance(view.large, _fitting_kind(view, clusters_min))


def _fitting_kind(view: VectorView, clusters_min: int) -> type[LargePart]:
    if gpu_is_there():
        return GpuRows
    return Clusters if view.count > max(clusters_min, LEAST_ROWS) else Graph


def _built(view: VectorView, clusters_min: int, stop: threading.Event) -> LargePart:
    old, nodes = view.large, np.empty(0, np.int64) if view.alive is None else np.flatnonzero(view.alive)
    kind = _fitting_kind(view, clusters_min)
    index = _trained(view, nodes) if kind is Clusters else (empty_rows if kind is GpuRows else empty_graph)(view.dim)
    add_living(index, old, nodes, stop)
    add_rows(index, view.rows, stop)
    ids, facts = view.row_ids, view.row_facts
    if old is not None:
        ids, facts = np.concatenate([old.ids[nodes], ids]), old.facts.taken(nodes).followed_by(facts)
    return kind(index, ids, facts)


def _trained(view: VectorView, nodes: IdArray) -> Any:
    """Clusters for all that lives, trained on a random part of it."""
    count = len(nodes) + len(view.rows)
    places = np.sort(np.random.default_rng(0).choice(count, sample_size(count), replace=False))
    of_nodes, of_rows = nodes[places[places < len(nodes)]], places[places >= len(nodes)] - len(nodes)
    sample = [view.rows[of_rows]]
    if view.large is not None and len(of_nodes):
        sample.append(view.large.rows_at(of_nodes))
    return trained_clusters(np.concatenate(sample), count)
