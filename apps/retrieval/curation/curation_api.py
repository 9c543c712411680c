"""How is content curated over HTTP? What all kinds of it have in common: who may, pages, and changes of all or of some fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar, Generic, TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.authentication import caller_of
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.curation.pages import Page, page_of
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.selectors import kb_for
from core.errors import InvalidRequest
from core.types import JSONDict

M = TypeVar("M", bound=Model)


class PageSchema(serializers.Serializer):
    """One page of a list."""

    total = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)


def list_parameters(*filters: str) -> list[OpenApiParameter]:
    """The query parameters of a list that these fields narrow."""
    return [*(OpenApiParameter(name, str) for name in (*filters, "q", "cursor")), OpenApiParameter("limit", int)]


def object_of(request: Request) -> JSONDict:
    """The body. Raises InvalidRequest where it is no JSON object."""
    if not isinstance(request.data, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return request.data


def refuse_unknown_fields(data: object, known: Collection[str]) -> None:
    """Raises InvalidRequest for a field that content does not have: passed over in silence, a misspelt access list would open it to everybody."""
    unknown = sorted(set(data) - set(known)) if isinstance(data, Mapping) else []
    if unknown:
        raise InvalidRequest(
            f"There is no field `{str(unknown[0])[:40]}`; there are {', '.join(sorted(known))}.", field=str(unknown[0])[:40]
        )


class ContentListView(ABC, APIView, Generic[M]):
    """All content of one kind in a knowledge base."""

    filters: ClassVar[tuple[str, ...]]
    """Query parameters that name the one value of a field to show."""
    known: ClassVar[Collection[str]]
    """The fields that a body may have: those that are read, and those that are only given."""

    @abstractmethod
    def rows(self, kb: KnowledgeBase, caller: Caller, *, text: str, **wanted: str) -> QuerySet[M]:
        """What the list shows this caller, newest change first."""

    @abstractmethod
    def listed(self, item: M) -> JSONDict:
        """One row of the list."""

    @abstractmethod
    def add(self, kb: KnowledgeBase, data: object, caller: Caller) -> JSONDict:
        """Adds what the body says, and gives it back as it is stored."""

    def get(self, request: Request, kb: str) -> Response:
        """One page, newest change first; `next` is the cursor of the following one."""
        caller, params = caller_of(request), request.query_params
        base = kb_for(kb, caller, Permission.READ)
        wanted = {name: params.get(name, "") for name in self.filters}
        page: Page[M] = page_of(self.rows(base, caller, text=params.get("q", ""), **wanted), params)
        return Response({"results": [self.listed(item) for item in page.items], "total": page.total, "next": page.next})

    def post(self, request: Request, kb: str) -> Response:
        """Adds one."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        refuse_unknown_fields(request.data, self.known)
        return Response(self.add(base, request.data, caller), status=201)


class ContentView(ABC, APIView, Generic[M]):
    """One piece of content, by the id that the path names `kind`."""

    kind: ClassVar[str]
    known: ClassVar[Collection[str]]

    @abstractmethod
    def find(self, kb: KnowledgeBase, id: str, caller: Caller) -> M:
        """The stored one. Raises NotFound, also for one that the caller may not see."""

    @abstractmethod
    def given(self, item: M) -> JSONDict:
        """It as the API gives it."""

    @abstractmethod
    def fields(self, item: M) -> JSONDict:
        """What can be changed of it, as it stands."""

    @abstractmethod
    def change(self, kb: KnowledgeBase, item: M, fields: JSONDict, caller: Caller, *, stated: Collection[str]) -> M:
        """Gives it these fields and no others; those in `stated` stood in the request, the others it has already."""

    @abstractmethod
    def remove(self, kb: KnowledgeBase, item: M, caller: Caller) -> None:
        """Deletes it."""

    def get(self, request: Request, kb: str, **named: str) -> Response:
        """As it is stored."""
        caller = caller_of(request)
        return Response(self.given(self.find(kb_for(kb, caller, Permission.READ), named[self.kind], caller)))

    def put(self, request: Request, kb: str, **named: str) -> Response:
        """Replaces all fields."""
        return self._change(request, kb, named[self.kind], whole=True)

    def patch(self, request: Request, kb: str, **named: str) -> Response:
        """Changes the fields given."""
        return self._change(request, kb, named[self.kind], whole=False)

    def delete(self, request: Request, kb: str, **named: str) -> Response:
        """Deletes it for good."""
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        self.remove(base, self.find(base, named[self.kind], caller), caller)
        return Response(status=204)

    def _change(self, request: Request, kb: str, id: str, *, whole: bool) -> Response:
        caller = caller_of(request)
        base = kb_for(kb, caller, Permission.EDIT)
        item = self.find(base, id, caller)
        stated = object_of(request)
        refuse_unknown_fields(stated, self.known)
        fields = {**({} if whole else self.fields(item)), **stated}
        return Response(self.given(self.change(base, item, fields, caller, stated=stated.keys())))
