"""Which kinds of content does a knowledge base hold? Each app that has one describes it here for the panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.utils.functional import Promise

from apps.accounts.permissions import Caller
from apps.retrieval.models import KnowledgeBase


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentCount:
    """How many pieces of one kind and state a knowledge base holds, and the list that shows them."""

    label: str
    count: int
    url: str
    colour: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A kind of content, as the app that owns it describes it to the knowledge base's page."""

    title: str | Promise
    list_name: str
    count: Callable[[Sequence[int]], Mapping[int, list[ContentCount]]]
    delete: Callable[[KnowledgeBase, Caller], None]


CONTENTS: list[Content] = []
"""The kinds of content; each app that has one adds it when its admin is loaded."""
