"""Who writes text here, and in which order are they asked?

The role `generator` is a chain: the deployments in use, by their order. Where nobody has made any, it is this
installation's own model alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from apps.serving.models import Deployment
from apps.serving.sealing import unseal
from apps.serving.upstream import Endpoint, UpstreamGenerator
from core.backends import get_backend
from core.config import get_settings
from core.errors import DeadlineExceeded, InferenceFailed, InvalidRequest, NotFound, Overloaded, QAError
from core.generation import check_request
from core.protocols import Chunk, GenerationRequest, Generator
from core.remembered import Remembered

log = logging.getLogger(__name__)

GENERATOR = "generator"
RESTS_S = 10.0


@dataclass(frozen=True, slots=True)
class Named:
    """A generator by its name. `open` gives it, or raises where it cannot be had: that fails this one alone."""

    name: str
    open: Callable[[], Generator]


def generator_names() -> list[str]:
    """What a generator can be asked for by: its role, then the deployments in use. Empty where there is no generator."""
    chain = _chains.get(GENERATOR)
    if not chain:
        return []
    return [GENERATOR, *(row.name for row in chain if row.name != GENERATOR)]


def generator_for(name: str = GENERATOR) -> Generator:
    """The generator of that name; of the role, all of them as one. Raises NotFound where there is none."""
    chain = _chains.get(GENERATOR)
    if name != GENERATOR:
        chain = tuple(row for row in chain if row.name == name)
    if not chain:
        raise NotFound(f"No generator {name[:80]!r} is configured.", model=name[:80])
    return FallbackGenerator(chain)


def own_place() -> int | None:
    """At which place this installation's own model is asked, 0 being the first; None where nobody asks it."""
    return next((place for place, row in enumerate(_chains.get(GENERATOR)) if row.open is own_generator), None)


class FallbackGenerator:
    """Several generators as one: the next is asked where one gives no first token; implements `core.protocols.Generator`.

    Who failed rests for `RESTS_S`, so that a dead server does not cost every request its timeout; where all rest, all are
    asked. Who is full, or refuses this very request (too long for one model, not for another), does not rest.
    """

    def __init__(self, chain: Sequence[Named]) -> None:
        self._chain = tuple(chain)

    @property
    def model_id(self) -> str:
        """The models in their order."""
        return " | ".join(row.open().model_id for row in self._chain)

    def stream(self, request: GenerationRequest, cancel: Event) -> Iterator[Chunk]:
        """As the protocol says; raises the last generator's error where none gave a first token."""
        check_request(request)
        return self._stream(request, cancel)

    def _stream(self, request: GenerationRequest, cancel: Event) -> Iterator[Chunk]:
        until = time.monotonic() + request.deadline_s
        failed: QAError = DeadlineExceeded("No generator began in time.")
        for row in _awake(self._chain):
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            try:
                chunks = row.open().stream(replace(request, deadline_s=left_s), cancel)
                first = next(chunks, None)
                if first is None:
                    raise InferenceFailed(f"{row.name} ended without a word.", deployment=row.name)
            except QAError as error:
                log.warning("generator failed deployment=%s error=%s", row.name, error.code)
                if not isinstance(error, Overloaded | InvalidRequest):
                    _rests_until[row.name] = time.monotonic() + RESTS_S
                failed = error
                continue
            _rests_until.pop(row.name, None)
            yield first
            yield from chunks
            return
        raise failed


_rests_until: dict[str, float] = {}


def _awake(chain: Sequence[Named]) -> Sequence[Named]:
    """Those that do not rest; all where all do."""
    now = time.monotonic()
    return [row for row in chain if _rests_until.get(row.name, 0.0) <= now] or chain


def _read_chain(_: str) -> tuple[Named, ...]:
    """The deployments in use, in their order; this installation's own model where nobody made any."""
    rows = list(Deployment.objects.all())
    if not rows:
        return (Named(GENERATOR, own_generator),) if get_settings().generator else ()
    usable = [row for row in rows if row.enabled and (row.kind != Deployment.Kind.LOCAL or get_settings().generator)]
    return tuple(Named(row.name, own_generator if row.kind == Deployment.Kind.LOCAL else partial(_upstream, row)) for row in usable)


def own_generator() -> Generator:
    """This installation's own model, in this process or on workers."""
    return get_backend(get_settings().generator_backend, Generator)  # type: ignore[type-abstract]


def _upstream(row: Deployment) -> Generator:
    return UpstreamGenerator(endpoint_of(row))


def endpoint_of(row: Deployment) -> Endpoint:
    """Where an upstream deployment is reached, with its key. Raises ModelUnavailable where the key cannot be opened."""
    return Endpoint(
        name=row.name,
        base_url=row.base_url,
        model=row.model,
        key=unseal(row.sealed_key) if row.sealed_key else "",
        connect_timeout_s=row.connect_timeout_s,
        read_timeout_s=row.read_timeout_s,
        retries=row.retries,
    )


def forget_generators() -> None:
    """Reads the deployments anew, and lets nobody rest; in other processes changes count after `QA_REMEMBER_S`."""
    _chains.clear()
    _rests_until.clear()


_chains = Remembered(_read_chain, keep_s=lambda: get_settings().remember_s)
