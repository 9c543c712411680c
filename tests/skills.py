"""A skill for tests whose claim and answer are written down beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Event

from core.events import AnswerEvent
from core.types import Match, Query

Step = AnswerEvent | Exception | Callable[[], object]


class ScriptedSkill:
    """Claims every question that contains `about`, then plays its script: yields events, raises errors, calls what can be called."""

    def __init__(self, script: Sequence[Step], *, about: str = "", name: str = "scripted", fails: bool = False) -> None:
        self.name = name
        self._script = script
        self._about = about
        self._fails = fails

    def match(self, query: Query) -> Match | None:
        """A sure claim, or the failure that was asked for."""
        if self._fails:
            raise RuntimeError("this skill is broken")
        if self._about not in query.text:
            return None
        return Match(skill=self.name, confidence=0.9, accepted=True, payload=None)

    def answer(self, query: Query, match: Match, cancel: Event) -> Iterator[AnswerEvent]:
        """The script."""
        for step in self._script:
            if isinstance(step, Exception):
                raise step
            if callable(step):
                step()
            else:
                yield step
