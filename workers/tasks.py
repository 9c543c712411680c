"""What an inference worker does with a request: read it, hand it to the model of its role, publish the replies.

One process, one model per role, many threads: what the threads hand over shares forward passes. This is the translator
of errors for Celery: whatever happens, each call gets a reply.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

import orjson
import redis
from celery import shared_task, signals
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from core.config import Settings, get_settings
from core.errors import DeadlineExceeded, InvalidRequest, ModelUnavailable, Overloaded, QAError
from core.types import JSONDict, Priority
from workers.broker import TASK
from workers.cancels import Cancels
from workers.heartbeat import Heartbeat, Load
from workers.pending import Pending
from workers.services import make_services
from workers.wire import Call, Request, request_from_dict
from workers.wire_errors import error_as_dict

log = logging.getLogger(__name__)

BULK_SHARE = 0.5
BULK_RETRY_AFTER_S = 1.0
COMPANY_S = 0.001


class InferenceWorker:
    """The models of this process and what serves them. `serve` is called by many threads at once."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(
            settings.redis_url, retry=Retry(ExponentialBackoff(cap=1, base=0.1), 3), socket_timeout=10, socket_connect_timeout=2
        )
        self._cancels = Cancels(settings.redis_url)
        self._services = {service.role: service for service in make_services(settings, self._cancels)}
        for service in self._services.values():
            service.load()
        self._bulk = threading.Semaphore(max(1, int(settings.worker_concurrency * BULK_SHARE)))
        self._load = Load()
        self._heartbeat = Heartbeat(
            self._redis,
            models={role: service.model.model_id for role, service in self._services.items()},
            device=next(service.model.device for service in self._services.values()),
            concurrency=settings.worker_concurrency,
            load=self._load,
        )

    def close(self) -> None:
        """Says that the worker is gone, and frees the models."""
        self._heartbeat.close()
        for service in self._services.values():
            service.close()
        self._cancels.close()
        self._redis.close()

    def serve(self, message: JSONDict) -> None:
        """Answers every call of the message. Raises InvalidRequest where it cannot be read, so that nobody could be answered."""
        request = request_from_dict(message)
        with self._load.counting(request.role):
            for rows in self._rows(request):
                self._redis.publish(request.reply_to, orjson.dumps(rows))

    def _rows(self, request: Request) -> Iterator[list[JSONDict]]:
        """The replies in groups, each as soon as it is there."""
        if request.priority is Priority.LIVE:
            yield from self._run(request)
        elif not self._bulk.acquire(blocking=False):
            busy = error_as_dict(Overloaded("This worker has imports enough to do.", retry_after_s=BULK_RETRY_AFTER_S))
            yield [{"id": call.id, **busy} for call in request.calls]
        else:
            try:
                yield from self._run(request)
            finally:
                self._bulk.release()

    def _run(self, request: Request) -> Iterator[list[JSONDict]]:
        """Hands all calls over before it waits for the first, so that they can share a forward pass.

        What a pass has answered goes at once: its callers' next questions come while the model works on the others.
        """
        begun = [(call.id, self._begin(request, call)) for call in request.calls]
        try:
            while begun:
                if len(begun) > 1:
                    _wait_for_some([reply for _, reply in begun])
                ready = {call_id for call_id, reply in begun if len(begun) == 1 or reply.is_ready()}
                yield [{"id": call_id, **_answer(reply)} for call_id, reply in begun if call_id in ready]
                begun = [(call_id, reply) for call_id, reply in begun if call_id not in ready]
        finally:
            for call in request.calls:
                self._cancels.forget(call.id)

    def _begin(self, request: Request, call: Call) -> Pending[JSONDict]:
        """What waits for the call's results; a refusal is raised there as well."""
        try:
            left_s = call.deadline_at - time.time()
            if left_s <= 0:
                raise DeadlineExceeded(
                    f"The request's deadline was over {-left_s:.1f} s before a worker took it: too much waits, or clocks differ."
                )
            service = self._services.get(request.role)
            if service is None:
                raise InvalidRequest(f"This worker does not serve the role {request.role!r}.")
            cancel = self._cancels.watch(call.id)
            return service.begin(call.body, priority=request.priority, deadline=time.monotonic() + left_s, cancel=cancel)
        except QAError as error:
            return _raising(error)
        except Exception as error:  # the other calls of its message must have their answers
            log.exception("call broke before the model role=%s", request.role)
            return _raising(_broken(error))


def _wait_for_some(replies: list[Pending[JSONDict]]) -> None:
    """Returns once a reply is ready, and a moment later where others of its forward pass may follow at its heels."""
    while not any(reply.is_ready() for reply in replies):
        wait([future for reply in replies for future in reply.futures if not future.done()], return_when=FIRST_COMPLETED)
    if not all(reply.is_ready() for reply in replies):
        time.sleep(COMPANY_S)


def _answer(reply: Pending[JSONDict]) -> JSONDict:
    try:
        return reply.make()
    except QAError as error:
        if isinstance(error, ModelUnavailable):
            log.error("model lost; this worker ends, so that it is started again error=%s", error.message)
            os.kill(os.getpid(), signal.SIGTERM)
        # its frames hold the whole message, whose futures hold the error: all of it would stay until a full collection
        error.__traceback__ = None
        return error_as_dict(error)
    except Exception as error:  # who waits must hear of it, whatever it is
        log.exception("inference broke")
        return error_as_dict(_broken(error))


def _broken(error: Exception) -> QAError:
    return QAError(f"The inference worker failed: {type(error).__name__}; its log has the trace.")


def _raising(error: QAError) -> Pending[JSONDict]:
    def make() -> JSONDict:
        raise error

    return Pending(make)


_worker: InferenceWorker | None = None


@shared_task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator] # Celery has no types
def infer(message: dict[str, Any]) -> None:
    """Serves one message of a web process."""
    if _worker is None:
        raise ModelUnavailable("This process is no inference worker: it was not started by `celery worker`.")
    _worker.serve(message)


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _start(**_: object) -> None:
    """Loads the models before the first request is taken. Ends the process where they cannot be had."""
    global _worker
    for name in ("celery.worker.strategy", "celery.app.trace"):  # two lines a message otherwise
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        _worker = InferenceWorker(get_settings())
    except (QAError, redis.RedisError) as error:
        log.error("inference worker cannot start error=%r", error)
        raise SystemExit(1) from error
    except Exception as error:  # Celery would go on without a model, and take requests
        log.exception("inference worker cannot start")
        raise SystemExit(1) from error


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(**_: object) -> None:
    global _worker
    if _worker is not None:
        _worker.close()
        _worker = None
