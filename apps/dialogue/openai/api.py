"""The OpenAI-compatible routes: chat completions, embeddings, models."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from threading import Event

import orjson
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.limits import Account, charge_use, take_request
from apps.accounts.permissions import Caller
from apps.dialogue.api import body_of
from apps.dialogue.models import Bot, new_id
from apps.dialogue.openai.catalogue import chat_model_for, model_row, models_for, require_encoder
from apps.dialogue.openai.completions import answer_as_pieces, charged, generate_as_pieces, generation_of, prompt_tokens_of, turn_of
from apps.dialogue.openai.parameters import ChatRequest, EmbeddingsRequest, parse_chat, parse_embeddings
from apps.dialogue.openai.schema import ChatSchema, CompletionSchema, EmbeddingsSchema, ModelSchema, ModelsSchema, VectorsSchema
from apps.dialogue.openai.wire import Completion, Piece, embeddings_as_dict, error_as_dict, model_as_dict, models_as_dict
from apps.dialogue.pump import finish_in_thread, iterate_in_thread
from apps.retrieval.vectors.encoding import encoder
from apps.serving.model_places import departure_of, model_place
from core.errors import InvalidRequest, QAError
from core.protocols import Usage
from core.tokens import estimate_all
from core.types import JSONDict

_NO_BUFFER = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class ChatCompletionsView(APIView):
    """A chat with a bot or a generator."""

    @extend_schema(request=ChatSchema, responses={200: CompletionSchema}, summary="Complete a chat", tags=["openai"])
    def post(self, request: Request) -> HttpResponseBase:
        """The completion in one piece, or with `stream` its chunks as server-sent events, `[DONE]` at the end.

        What fails before the first text is an error with its own status, also of a stream.
        """
        caller = caller_of(request)
        wanted = parse_chat(body_of(request))
        completion, cancel = Completion(id=new_id(), model=wanted.model), departure_of(request._request)
        with model_place():
            pieces = _pieces(wanted, caller, request, completion.id, cancel)
            if not wanted.streamed:
                return Response(completion.whole(pieces))
            begun = chain([next(pieces)], pieces)
        stream = _ServerSent(completion.chunks(begun, wants_usage=wanted.wants_usage), cancel)
        return StreamingHttpResponse(stream, content_type="text/event-stream", headers=_NO_BUFFER)


def _pieces(wanted: ChatRequest, caller: Caller, request: Request, completion: str, cancel: Event) -> Iterator[Piece]:
    """The pieces of the completion, everything about the request checked and counted before the first."""
    model = chat_model_for(wanted.model, caller)
    account = _account(caller, request, wanted.model, bot_id=model.pk if isinstance(model, Bot) else None)
    if isinstance(model, Bot):
        turn = turn_of(wanted, model, caller, completion)
        take_request(account)
        return answer_as_pieces(turn, prompt_tokens_of(wanted.messages), cancel)
    generation = generation_of(wanted)
    take_request(account)
    return charged(generate_as_pieces(model, generation, cancel), account, prompt_tokens_of(wanted.messages))


def _account(caller: Caller, request: Request, model: str, bot_id: int | None = None) -> Account:
    return Account(caller=caller, model=model, bot_id=bot_id, address=request.META.get("REMOTE_ADDR", ""))


class _ServerSent:
    """The body of a streamed completion. Whoever leaves cancels it; what was begun is ended properly in any case."""

    def __init__(self, chunks: Iterator[JSONDict], cancel: Event) -> None:
        self._chunks = chunks
        self._cancel = cancel
        self._begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in iterate_in_thread(self._begin, to_the_end=True):
                yield b"data: %s\n\n" % orjson.dumps(chunk)
            yield b"data: [DONE]\n\n"
        except QAError as error:
            yield b"data: %s\n\n" % orjson.dumps(error_as_dict(error))
        finally:
            self._cancel.set()

    def _begin(self) -> Iterator[JSONDict]:
        self._begun = True
        return self._chunks

    def close(self) -> None:
        """Called by Django when the response is done with, whether anybody read it or not."""
        self._cancel.set()
        if not self._begun:
            finish_in_thread(self._begin())


class EmbeddingsView(APIView):
    """The vectors of texts."""

    @extend_schema(request=EmbeddingsSchema, responses={200: VectorsSchema}, summary="Embed texts", tags=["openai"])
    def post(self, request: Request) -> Response:
        """One vector of unit length for each text, in their order."""
        caller = caller_of(request)
        wanted = parse_embeddings(body_of(request))
        require_encoder(wanted.model, caller)
        _check_dimensions(wanted)
        account, began = _account(caller, request, wanted.model), time.perf_counter()
        with model_place():
            take_request(account)
            vectors, tokens = encoder().encode(wanted.texts, wanted.role), estimate_all(wanted.texts)
        charge_use(account, Usage(prompt_tokens=tokens, completion_tokens=0), seconds=time.perf_counter() - began)
        return Response(embeddings_as_dict(vectors, model=wanted.model, as_base64=wanted.base64, prompt_tokens=tokens))


def _check_dimensions(wanted: EmbeddingsRequest) -> None:
    dim = encoder().dim
    if wanted.dimensions not in (None, dim):
        raise InvalidRequest(f"Vectors of this encoder have {dim} numbers; leave `dimensions` out.", field="dimensions")


class ModelsView(APIView):
    """What can be named as a model."""

    @extend_schema(responses={200: ModelsSchema}, summary="List models", tags=["openai"])
    def get(self, request: Request) -> Response:
        """The bots, deployments and roles that the caller may use."""
        return Response(models_as_dict(models_for(caller_of(request))))


class ModelView(APIView):
    """One model."""

    @extend_schema(responses={200: ModelSchema}, summary="Read a model", tags=["openai"])
    def get(self, request: Request, model: str) -> Response:
        """The model's row in the list."""
        return Response(model_as_dict(model_row(model, caller_of(request))))
