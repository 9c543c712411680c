"""The generator that runs elsewhere: its text comes piece by piece from whichever inference worker takes the request."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

from core.config import get_settings
from core.errors import ModelUnavailable
from core.generation import check_request
from core.protocols import Chunk, GenerationRequest
from workers.broker import GENERATOR
from workers.dispatch import Dispatcher, result_of, shared_dispatcher
from workers.token_stream import TokenReader
from workers.wire import GenerateBody, generate_as_dict, writer_from_dict

LOADING_S = 30.0  # a worker loads its generator with the first request


class RemoteGenerator:
    """The generator of the inference workers; implements `core.protocols.Generator` and needs `QA_REDIS_URL`.

    A text whose worker dies before the first chunk is asked for once more. It raises as the protocol
    says, and ModelUnavailable where no worker is alive, Overloaded where too much waits, DeadlineExceeded where none answers in time.
    """

    def __init__(self, dispatcher: Dispatcher | None = None) -> None:
        self._settings = get_settings()
        self._dispatcher = dispatcher or shared_dispatcher()

    def close(self) -> None:
        """Ends the process's connection to the workers; who waits gets ModelUnavailable."""
        self._dispatcher.close()

    @property
    def model_id(self) -> str:
        """The setting's name, which workers and web processes share."""
        return self._settings.generator

    def stream(self, request: GenerationRequest, cancel: threading.Event) -> Iterator[Chunk]:
        """The chunks; a worker takes the request with the first `next`."""
        check_request(request)
        return self._chunks(request, cancel, time.monotonic() + request.deadline_s)

    def _chunks(self, request: GenerationRequest, cancel: threading.Event, deadline: float) -> Iterator[Chunk]:
        for is_last_attempt in (False, True):
            has_begun = False
            try:
                for chunk in self._begin(request, deadline).chunks(cancel, deadline):
                    has_begun = True
                    yield chunk
                return
            except ModelUnavailable:
                if has_begun or is_last_attempt:
                    raise

    def _begin(self, request: GenerationRequest, deadline: float) -> TokenReader:
        """The reader of a text that a worker has taken."""
        text_id = uuid.uuid4().hex
        left_s = max(0.001, deadline - time.monotonic())
        body = GenerateBody(text_id=text_id, request=request, deadline_at=time.time() + left_s)
        timeout_s = min(left_s, self._settings.remote_timeout_s + LOADING_S)
        future = self._dispatcher.submit(GENERATOR, generate_as_dict(body), priority=request.priority, timeout_s=timeout_s)
        try:
            writer = writer_from_dict(result_of(future, timeout_s))
        except BaseException:
            self._dispatcher.cancel([text_id])
            raise
        return TokenReader(
            self._dispatcher.redis,
            text_id,
            is_alive=lambda: self._dispatcher.is_alive(host=writer.host, pid=writer.pid),
            stop=lambda: self._dispatcher.cancel([text_id]),
        )
