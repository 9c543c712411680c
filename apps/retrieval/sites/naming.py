"""Which of the addresses that a person names can be asked for at all? Each is judged alone, before anybody is asked, and a refused one says why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apps.retrieval.sites.addresses import is_address, page_address
from apps.serving.connections import private_hosts
from core.errors import InvalidRequest
from core.net import check_url

MAX_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class RefusedName:
    """What was named, cut where it is long, and why nobody is asked for it."""

    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.text}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Named:
    """The addresses as they name pages, each once and in order, and what is none."""

    addresses: tuple[str, ...]
    refused: tuple[RefusedName, ...]


def judge_names(names: Iterable[object]) -> Named:
    """Judges each by its text. Where a host's name leads to is seen by the same guard when the page is fetched (`core.net`)."""
    addresses, refused = dict[str, None](), list[RefusedName]()
    for name in names:
        try:
            addresses[_judged(name)] = None
        except InvalidRequest as error:
            refused.append(RefusedName(str(name)[:MAX_SHOWN_CHARS], error.message))
    return Named(tuple(addresses), tuple(refused))


def _judged(name: object) -> str:
    if not isinstance(name, str) or not is_address(name):
        raise InvalidRequest("It must begin with https:// or http://.")
    address = page_address(name)
    check_url(address, private_hosts())
    return address
