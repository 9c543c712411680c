"""How tokens become text as they come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_INCOMPLETE = "\ufffd"
_PROMPT_TAIL = 4


class Detokenizer:
    """Turns one text's tokens into characters. A character whose bytes lie in several tokens comes with the last of them.

    What a token reads as depends on the one before (spaces, byte pairs), so each is decoded together with those before it
    back to the last whole character; the method of text-generation-inference and vLLM.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._told: list[int] = list(prompt[-_PROMPT_TAIL:])
        self._new: list[int] = []
        self._told_text = decode(self._told)

    def push(self, token: int) -> str:
        """The characters that this token completes."""
        self._new.append(token)
        text = self._decode(self._told + self._new)
        if text.endswith(_INCOMPLETE):
            return ""
        added = text[len(self._told_text) :]
        self._told, self._new = self._new, []
        self._told_text = self._decode(self._told)
        return added

    def flush(self) -> str:
        """What is left at the end, without a half character."""
        return self._decode(self._told + self._new)[len(self._told_text) :].rstrip(_INCOMPLETE) if self._new else ""


class StopFilter:
    """Lets text through up to the first stop string. What may be the beginning of one waits until that is known."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What can be shown now; `stopped` is set where a stop string is complete."""
        text = self._held + text
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self._held, self.stopped = "", True
            return text[: min(found)]
        held = self._possible_beginning(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """What waited, now that nothing follows."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self, text: str) -> int:
        """How many characters at the end begin a stop string."""
        longest = min(len(text), max((len(stop) - 1 for stop in self._stops), default=0))
        return next((size for size in range(longest, 0, -1) if any(stop.startswith(text[-size:]) for stop in self._stops)), 0)
