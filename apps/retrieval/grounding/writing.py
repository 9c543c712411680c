"""How is an answer written that the documents support? A generator drafts, each sentence is checked, and only what holds is said.

The order of resort: supported sentences; where none is left, what the bot wants (the extracted sentences, or nothing); where no
generator answers in time, the extracted sentences, marked as degraded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Generic, TypeAlias, TypeVar

from django.db import connection

from apps.retrieval.grounding.claims import Claim, claims_of
from apps.retrieval.grounding.context import with_context
from apps.retrieval.grounding.judging import judge
from apps.retrieval.grounding.prompt import PromptSource, QuotedText, choose_sources, messages_for, tokens_of
from apps.retrieval.grounding.sections import read_surroundings
from apps.retrieval.grounding.support import Evidence, Support, Verdict
from apps.retrieval.grounding.templates import NO_ANSWER
from apps.retrieval.search.hybrid import PassageHit
from apps.serving.generators import generator_for
from apps.serving.warmup import require_loaded_generator
from core.config import get_settings
from core.errors import QAError
from core.events import AnswerReport
from core.protocols import Chunk, GenerationRequest, Usage
from core.text import guess_locale
from core.tokens import estimate_all, estimate_tokens
from core.types import FinishReason, JSONDict, JSONValue, Locale, Query, Scope, Writing

log = logging.getLogger(__name__)

MAX_SENTENCES = 12
MAX_REPEATS = 3
SHARE_OF_TURN = 0.8  # of a turn's time, at most: what goes out instead needs some, too
Messages: TypeAlias = "tuple[tuple[str, str], ...]"
S = TypeVar("S", bound=QuotedText)
MARKS = {Locale.ZH: "（资料中未找到依据）", Locale.EN: "(not found in the sources)"}


@dataclass(slots=True)
class Draft(Generic[S]):
    """One text on its way: what the generator was asked, what became of each sentence, how it ended.

    `failure` is the code of the error that kept a generator from answering, or `deadline`; empty where it answered. `checks` is what
    asking for the meaning of sentences cost, `until` when (by `time.monotonic`) there is no more time for it.
    """

    sources: tuple[S, ...]
    failure: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    checks: Usage = Usage(prompt_tokens=0, completion_tokens=0)
    until: float = 0.0
    supported: int = 0
    sentences: list[JSONValue] = field(default_factory=list)
    ended: FinishReason | None = None

    def note(self, claim: Claim, support: Support) -> None:
        """Remembers a sentence and what was found for it."""
        self.supported += support.verdict is Verdict.SUPPORTED
        self.sentences.append(
            {
                "text": claim.text,
                "verdict": support.verdict.value,
                "source": support.source,
                "features": {name: round(value, 4) for name, value in support.features.items()},
                **({} if support.judged is None else {"judged": support.judged}),
            }
        )

    def end(self, chunk: Chunk, said: str) -> None:
        """Takes over how the generator ended and what it counted."""
        self.ended = chunk.finish_reason
        self.failure = FinishReason.DEADLINE.value if chunk.finish_reason is FinishReason.DEADLINE else ""
        self.count(chunk.usage or Usage(prompt_tokens=self.prompt_tokens, completion_tokens=estimate_tokens(said)))

    def count(self, usage: Usage) -> None:
        """Sets the tokens that the answer cost."""
        self.prompt_tokens, self.completion_tokens = usage.prompt_tokens, usage.completion_tokens

    @property
    def usage(self) -> Usage:
        """Tokens of the text and of its checks."""
        checks = self.checks
        return Usage(
            prompt_tokens=self.prompt_tokens + checks.prompt_tokens, completion_tokens=self.completion_tokens + checks.completion_tokens
        )

    def report(self, *, by: str, answered: bool = True) -> AnswerReport:
        """What the turn keeps: who answered in the end, and what every sentence was worth."""
        trace: JSONDict = {"by": by, "sentences": self.sentences, **({"failure": self.failure} if self.failure else {})}
        return AnswerReport(
            answered=answered,
            degraded=bool(self.failure),
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.completion_tokens,
            trace=trace,
        )


def write_sentences(query: Query, writing: Writing, hits: Sequence[PassageHit], cancel: Event) -> tuple[Draft[PromptSource], Iterator[str]]:
    """A draft and the texts that may be said of it, each once its sentence is checked. No text at all: nothing was supported."""
    draft = Draft(sources=_sources(hits, query.scope))
    return draft, _texts(draft, query, writing, cancel)


def _sources(hits: Sequence[PassageHit], scope: Scope) -> tuple[PromptSource, ...]:
    """The passages that fit in a prompt, then, as far as tokens are left, with what stands around them in their sections."""
    settings = get_settings()
    chosen = choose_sources(hits, max_tokens=settings.prompt_max_tokens)
    if not settings.prompt_context_tokens:
        return chosen
    left = min(settings.prompt_context_tokens, settings.prompt_max_tokens - tokens_of(chosen))
    return with_context(chosen, read_surroundings([source.hit.passage.id for source in chosen], scope), max_tokens=left)


def checked_claims(draft: Draft[S], ask: Callable[[], Messages], cancel: Event, *, what: str) -> Generator[tuple[Claim, Support]]:
    """What a generator writes when it is asked so, sentence by sentence, each with what the draft's sources say to it.

    An error ends it and is kept in the draft. `what` names the text in the log.
    """
    evidence = Evidence(draft.sources)
    by_meaning = get_settings().support_check == "meaning"
    with closing(_chunks(draft, ask, cancel, what)) as chunks:
        for claim in _worth_checking(claims_of(chunks), draft):
            if cancel.is_set():
                return
            support = evidence.check(claim.text, claim.cited)
            if by_meaning and support.verdict is not Verdict.SUPPORTED:
                support = _judged(support, claim, evidence, draft, cancel)
            draft.note(claim, support)
            yield claim, support


def _judged(support: Support, claim: Claim, evidence: Evidence, draft: Draft[S], cancel: Event) -> Support:
    """What a generator makes of a sentence that is not in a source's words; as it was where none can be asked any more."""
    number, left_s = evidence.arguable(claim.text, claim.cited), draft.until - time.monotonic()
    if number is None or left_s <= 0:
        return support
    judgement = judge(claim.text, draft.sources[number - 1], deadline_s=left_s, cancel=cancel)
    if judgement is None:
        return support
    cost = judgement.usage
    draft.checks = Usage(
        prompt_tokens=draft.checks.prompt_tokens + cost.prompt_tokens,
        completion_tokens=draft.checks.completion_tokens + cost.completion_tokens,
    )
    if not judgement.says_yes:
        return replace(support, judged=False)
    return replace(support, verdict=Verdict.SUPPORTED, source=number, judged=True)


def _texts(draft: Draft[PromptSource], query: Query, writing: Writing, cancel: Event) -> Iterator[str]:
    """The sentences to say, with the white space before them. Unsupported ones wait, where they are shown at all, for a supported one."""
    said = 0
    waiting: list[tuple[Claim, str]] = []
    mark = MARKS[query.locale] if writing.flags_unsupported else ""

    def ask() -> Messages:
        return messages_for(query.text, draft.sources, writing, query.locale)

    with closing(checked_claims(draft, ask, cancel, what=f"turn={query.turn}")) as claims:
        for claim, support in claims:
            if support.verdict is Verdict.SUPPORTED:
                waiting.append((claim, claim.shown(support.source)))
            elif mark and support.verdict is not Verdict.ORDER:
                waiting.append((claim, claim.shown(None, mark)))
            while draft.supported and waiting:
                shown, text = waiting.pop(0)
                yield (_between(shown) if said else "") + text
                said += 1


def _worth_checking(claims: Iterator[Claim], draft: Draft[S]) -> Iterator[Claim]:
    """Each sentence once; ends where the model says that it knows nothing, repeats itself, or goes on and on. What was cut off is left out."""
    seen: dict[str, int] = {}
    for claim in claims:
        if NO_ANSWER in claim.text or len(seen) >= MAX_SENTENCES:
            return
        if draft.ended not in (None, FinishReason.STOP) and not claim.is_finished:
            return
        seen[claim.text] = seen.get(claim.text, 0) + 1
        if seen[claim.text] >= MAX_REPEATS:
            return
        if seen[claim.text] == 1:
            yield claim


def _chunks(draft: Draft[S], ask: Callable[[], Messages], cancel: Event, what: str) -> Generator[str]:
    """What the generator writes. An error ends it and is kept in the draft."""
    said: list[str] = []
    settings = get_settings()
    try:
        require_loaded_generator()
        messages = ask()
        deadline_s = min(settings.answer_deadline_s, SHARE_OF_TURN * settings.turn_deadline_s)
        request = GenerationRequest(messages=messages, max_tokens=settings.answer_max_tokens, deadline_s=deadline_s)
        draft.until = time.monotonic() + deadline_s
        generator = generator_for()
        _release_connection()
        draft.prompt_tokens = estimate_all(text for _, text in messages)
        for chunk in generator.stream(request, cancel):
            said.append(chunk.text)
            if chunk.finish_reason is not None:
                draft.end(chunk, "".join(said))
            yield chunk.text
    except QAError as error:
        log.warning("nothing written %s error=%s", what, error.code)
        draft.failure = error.code
        if not said:
            draft.prompt_tokens = 0
    finally:
        if draft.ended is None and said:
            draft.completion_tokens = estimate_tokens("".join(said))


def _release_connection() -> None:
    """A slow model holds no database connection: the pool has it back while the generator writes."""
    if connection.vendor != "sqlite" and not connection.in_atomic_block:
        connection.close()


def _between(claim: Claim) -> str:
    """What stands before a sentence: a line break, where the model made one, or what its language has between sentences."""
    if claim.begins_line:
        return "\n"
    return "" if guess_locale(claim.text) is Locale.ZH else " "
