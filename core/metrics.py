"""The numbers that operators watch, as Prometheus metrics. One place, so that names stay stable."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

TURNS = Counter("wenlu_turns_total", "Turns by how they ended.", ["skill", "end"])
TURN_SECONDS = Histogram("wenlu_turn_seconds", "Time from a question to the end of its turn.", buckets=_SECONDS)
BATCHES = Counter("wenlu_batches_total", "Forward passes.", ["model"])
BATCHED_TEXTS = Counter("wenlu_batched_texts_total", "Texts that went through forward passes.", ["model"])
BATCH_SECONDS = Histogram("wenlu_batch_seconds", "Time of one forward pass.", ["model"], buckets=_SECONDS)
BATCH_WAITING = Gauge("wenlu_batch_waiting", "Texts that wait for a model.", ["model"])
BATCH_DROPPED = Counter("wenlu_batch_dropped_total", "Work dropped before the model.", ["model", "reason"])
INDEX_LAG = Gauge(
    "wenlu_index_lag_revisions", "Changes of a knowledge base that this process's indexes have not followed yet.", ["kb", "kind"]
)
INDEX_DRIFT = Gauge("wenlu_index_drift_entries", "Entries that index and database disagree on, at the last check.", ["kb", "kind", "index"])
SEARCH_UNAVAILABLE = Counter(
    "wenlu_search_unavailable_total", "Calls of an index server that failed or were not tried.", ["server", "reason"]
)
LIVE_TURNS = Gauge("wenlu_live_turns", "Turns running in this process.")
REMOTE_WAITING = Gauge("wenlu_remote_waiting", "Requests of this process that wait for inference workers.")
REMOTE_SECONDS = Histogram(
    "wenlu_remote_seconds", "Time from a request to an inference worker to its reply.", ["role", "priority"], buckets=_SECONDS
)
REMOTE_RESENT = Counter("wenlu_remote_resent_total", "Requests sent to inference workers once more.", ["reason"])
SEARCH_FALLBACKS = Counter(
    "wenlu_search_fallbacks_total", "Vector searches that inference workers could not do, so that this process did.", ["reason"]
)
FIRST_TOKEN_SECONDS = Histogram("wenlu_first_token_seconds", "Time from a request to the generator to its first token.", buckets=_SECONDS)
GENERATED_TOKENS = Counter("wenlu_generated_tokens_total", "Tokens that the generator wrote.")
GENERATION_STOP_SECONDS = Histogram(
    "wenlu_generation_stop_seconds", "Time from somebody's stop to the free place of the text that was being written.", buckets=_SECONDS
)
TEXT_DELAY_SECONDS = Histogram(
    "wenlu_text_delay_seconds", "Time from a piece of text in an inference worker to its arrival in this process.", buckets=_SECONDS
)
