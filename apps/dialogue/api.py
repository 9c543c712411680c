"""The HTTP routes for asking: questions, conversations, votes, explanations."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.limits import Account, take_request
from apps.dialogue.pump import iterate_in_thread
from apps.dialogue.schema import AnswerSchema, AskSchema, ConversationSchema, ExplanationSchema, FeedbackSchema, TurnDocumentsSchema
from apps.dialogue.selectors import bot_for, conversation_for, documents_of_turn, history_of, require_trace, turn_as_dict, turn_for
from apps.dialogue.services import vote_on
from apps.dialogue.streaming import ask, run_turn
from apps.dialogue.turns import TurnRequest, require_conversation
from apps.dialogue.understanding import check_question
from core.errors import InvalidRequest, QAError
from core.types import JSONDict


def body_of(request: Request) -> JSONDict:
    """The request's JSON object. Raises InvalidRequest for anything else."""
    if not isinstance(request.data, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return request.data


class AskView(APIView):
    """One question to a bot."""

    @extend_schema(request=AskSchema, responses={200: AnswerSchema}, summary="Ask a bot", tags=["ask"])
    def post(self, request: Request, bot: str) -> HttpResponseBase:
        """The answer in one piece, or with `Accept: text/event-stream` the events of the turn."""
        caller, data = caller_of(request), body_of(request)
        found = bot_for(bot, caller)
        text = check_question(data.get("question"))
        conversation = data.get("conversation")
        if conversation is not None and not isinstance(conversation, str):
            raise InvalidRequest("`conversation` must be the id that an earlier answer gave.", field="conversation")
        take_request(Account(caller=caller, model=found.slug, bot_id=found.pk, address=request.META.get("REMOTE_ADDR", "")))
        streamed = "text/event-stream" in request.headers.get("accept", "")
        turn = TurnRequest(bot=found, caller=caller, text=text, conversation=conversation, streamed=streamed)
        if not streamed:
            return Response(ask(turn))
        require_conversation(turn)
        return StreamingHttpResponse(
            _server_sent(turn), content_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )


async def _server_sent(turn: TurnRequest) -> AsyncIterator[bytes]:
    """Each event as one `data:` line (HTML standard, server-sent events); what keeps the turn from starting as an `error` event."""
    try:
        async for frame in iterate_in_thread(lambda: run_turn(turn), to_the_end=True):
            yield b"id: %s\ndata: %s\n\n" % (orjson.dumps(frame["seq"]), orjson.dumps(frame))
    except QAError as error:
        yield b"data: %s\n\n" % orjson.dumps({"type": "error", "error": error.as_dict()})


class ConversationView(APIView):
    """One conversation."""

    @extend_schema(responses={200: ConversationSchema}, summary="Read a conversation", tags=["ask"])
    def get(self, request: Request, conversation: str) -> Response:
        """Its turns, oldest first."""
        return Response(history_of(conversation_for(conversation, caller_of(request))))


class FeedbackView(APIView):
    """A reader's vote on a turn."""

    @extend_schema(
        request=FeedbackSchema,
        responses={200: inline_serializer("Vote", {"turn": serializers.CharField(), "vote": serializers.IntegerField()})},
        summary="Vote on an answer",
        tags=["ask"],
    )
    def post(self, request: Request, turn: str) -> Response:
        """Stores the vote; the last one counts."""
        data = body_of(request)
        feedback = vote_on(turn_for(turn, caller_of(request)), vote=data.get("vote"), comment=data.get("comment", ""))
        return Response({"turn": turn, "vote": feedback.vote})


class TurnDocumentsView(APIView):
    """Where the documents behind an answer are read."""

    @extend_schema(responses={200: TurnDocumentsSchema}, summary="Open the documents of an answer", tags=["ask"])
    def get(self, request: Request, turn: str) -> Response:
        """The pages of its sources' documents, at what was cited: of those documents that the caller may open."""
        caller = caller_of(request)
        return Response(documents_of_turn(turn_for(turn, caller), caller))


class ExplainView(APIView):
    """Why a turn was answered as it was."""

    @extend_schema(
        responses={200: ExplanationSchema, 403: OpenApiResponse(description="Not for readers.")}, summary="Explain an answer", tags=["ask"]
    )
    def get(self, request: Request, turn: str) -> Response:
        """Which skills matched, with which scores, and what dropped what."""
        caller = caller_of(request)
        found = turn_for(turn, caller)
        require_trace(found, caller)
        return Response({**turn_as_dict(found), "trace": found.trace, "timings_ms": found.timings_ms})
