"""Backends: a dotted path becomes one instance a process, or a message that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import pytest

from core.backends import close_backends, get_backend, load_object, use_backend
from core.errors import ConfigurationError

PATH = "collections.Counter"


@runtime_checkable
class Counts(Protocol):
    """What a Counter does."""

    def most_common(self) -> object:
        """The counts."""
        ...


@runtime_checkable
class Sings(Protocol):
    """What a Counter does not."""

    def sing(self) -> None:
        """Sings."""
        ...


class Closable:
    """Remembers whether it was closed."""

    closed = False

    def most_common(self) -> object:
        """Nothing."""
        return []

    def close(self) -> None:
        """Closes it."""
        self.closed = True


@pytest.fixture(autouse=True)
def no_backends() -> Iterator[None]:
    close_backends()
    yield
    close_backends()


def test_one_path_is_one_instance() -> None:
    assert get_backend(PATH, Counts) is get_backend(PATH, Counts)


@pytest.mark.parametrize("path", ["no.such.module.Thing", "collections.NoSuchThing", "Thing", ""])
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_object(path)
    assert repr(path) in raised.value.message
    assert raised.value.details == {"path": path}


def test_a_class_that_lacks_part_of_the_protocol_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not a Sings"):
        get_backend(PATH, Sings)


def test_closing_closes_what_can_be_closed_and_forgets_it() -> None:
    mine = Closable()
    use_backend(PATH, mine)
    assert get_backend(PATH, Counts) is mine
    close_backends()
    assert mine.closed
    assert get_backend(PATH, Counts) is not mine
