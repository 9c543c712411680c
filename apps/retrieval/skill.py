"""The `passage` skill: answers with the best sentences of the best passages, word for word, or as a generator writes them from these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from threading import Event

from apps.retrieval.grounding.prompt import PromptSource
from apps.retrieval.grounding.writing import write_sentences
from apps.retrieval.indexes.analysis import analyze
from apps.retrieval.outbox.follower import follower
from apps.retrieval.search.answering import READ, Reading, Sentence, read_answer
from apps.retrieval.search.fusion import load_fusion
from apps.retrieval.search.hybrid import Asked, PassageHit, search_passages
from apps.retrieval.search.stored_passages import StoredPassage, kinds_in, texts_of_questions
from apps.retrieval.search.tokens_met import QuestionTokens
from apps.retrieval.selectors import stored_tokens
from apps.retrieval.vectors.token_vectors import load_projection, unpack_tokens
from core.events import AnswerEvent, SourcesFound, cut_as_it_comes, split_into_deltas
from core.text import guess_locale, normalize
from core.types import EncodedQuery, EntryKind, JSONDict, Locale, Match, Query, Scope, SkillName, Source, Writing

FOUND = 10
EXPLAINED = 5
SNIPPET_CHARS = 400
_UNSPACED = r"\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003134f"
_PARTED = re.compile(rf"[{_UNSPACED}](?=[{_UNSPACED}])")  # two characters between which a text may be cut


@dataclass(frozen=True, slots=True)
class Found:
    """What the skill's `match` notes for its `answer`: the best sentences, and the passages that were found."""

    reading: Reading
    hits: tuple[PassageHit, ...]


class PassageSkill:
    """Claims a question when a sentence of a document answers it, as far as the fitted features can tell."""

    name = SkillName.PASSAGE.value

    def match(self, query: Query) -> Match | None:
        """The best sentences with their calibrated confidence; None where the bot has no documents or nothing comes near."""
        if not kinds_in(query.scope):
            return None
        found = search_passages(query.text, query.encoded, query.scope, k=FOUND)
        if not found.hits:
            return None
        asked = found.asked(query.text, query.encoded)
        curated = _answer_the_very_question(query, found.hits)
        if curated:
            asked = Asked(query.text, query.encoded)
        reading = read_hits(asked.text, asked.encoded, query.scope, curated or found.hits)
        if curated and reading.sentences:
            reading = replace(reading, confidence=1.0, accepted=True, reasons={})
        return Match(
            skill=self.name,
            confidence=reading.confidence,
            accepted=reading.accepted,
            payload=Found(reading, curated or found.hits),
            degraded=found.degraded,
            why=_why(asked.text, reading, curated or found.hits) | ({"read_as": asked.text} if found.read_as and not curated else {}),
        )

    def answer(self, query: Query, match: Match, cancel: Event) -> Iterator[AnswerEvent]:
        """The passages as sources, then the sentences; where the bot wants it, as a generator writes them."""
        found = match.payload
        assert isinstance(found, Found)
        if query.writing is None:
            yield from _extracted(found.reading)
        else:
            yield from _written(query, query.writing, found, cancel)


def _extracted(reading: Reading) -> Iterator[AnswerEvent]:
    yield SourcesFound(sources=sources_of(reading))
    yield from split_into_deltas(answer_of(reading))


def _written(query: Query, writing: Writing, found: Found, cancel: Event) -> Iterator[AnswerEvent]:
    """What a generator writes and the sources support, `[n]` being the n-th source; else the sentences themselves, or nothing."""
    draft, texts = write_sentences(query, writing, found.hits, cancel)
    first = next(texts, None)
    if first is not None:
        yield SourcesFound(sources=tuple(_source_read(source, found.reading.confidence) for source in draft.sources))
        yield from cut_as_it_comes(chain([first], texts))
        yield draft.report(by="generator")
    elif cancel.is_set() or (writing.abstains and not draft.failure):
        yield draft.report(by="nobody", answered=cancel.is_set())
    else:
        yield from _extracted(found.reading)
        yield draft.report(by="extraction")


def _answer_the_very_question(query: Query, hits: Sequence[PassageHit]) -> tuple[PassageHit, ...]:
    """The passages of which a curator says that they answer this very question: as with an exact phrasing of an FAQ, nothing is left to be judged."""
    texts = texts_of_questions([hit.question for hit in hits if hit.question is not None])
    same = {id for id, text in texts.items() if normalize(text) == query.normalized}
    return tuple(hit for hit in hits if hit.question in same)


def read_hits(text: str, encoded: EncodedQuery | None, scope: Scope, hits: Sequence[PassageHit]) -> Reading:
    """The best sentences of the hits, by the fit for the encoder that encoded the question."""
    fusion = load_fusion(encoded.encoder if encoded else "")
    return read_answer(text, hits, _tokens(encoded, scope, [hit.passage.id for hit in hits[:READ]]), fusion)


def answer_of(reading: Reading) -> str:
    """The sentences as one text: those of one passage as they follow each other, its paragraphs and other passages in lines of their own."""
    text = ""
    for place, sentence in enumerate(reading.sentences):
        before = reading.sentences[place - 1] if place else None
        text += _between(before, sentence) + sentence.text
    return text


def sources_of(reading: Reading) -> tuple[Source, ...]:
    """The passages that the sentences come from, in their order."""
    by_passage: dict[int, list[Sentence]] = {}
    for sentence in reading.sentences:
        by_passage.setdefault(sentence.hit.passage.id, []).append(sentence)
    return tuple(_source_shown(sentences, reading.confidence) for sentences in by_passage.values())


def _source_read(source: PromptSource, confidence: float) -> Source:
    """What a generator read of a section, whole: each sentence of the answer stands in the source that it names."""
    passage = replace(source.hit.passage, text=source.said, start=source.start, end=source.end, page=source.page, later_pages="")
    return _source(passage, 0, confidence, chars=len(source.said))


def _source_shown(sentences: Sequence[Sentence], confidence: float) -> Source:
    """The passage of some sentences, with a snippet that holds the first and whichever else fits, and the sentences marked in it."""
    fitting = [one.end for one in sentences if one.end - sentences[0].start <= SNIPPET_CHARS]
    begin = _word_start(sentences[0].hit.passage.text, max(0, max(fitting, default=sentences[0].end) - SNIPPET_CHARS), sentences[0].start)
    said = sorted({span for one in sentences for span in one.spans})
    spans = ((max(start - begin, 0), min(end - begin, SNIPPET_CHARS)) for start, end in said)
    return _source(sentences[0].hit.passage, begin, confidence, marks=tuple((start, end) for start, end in spans if start < end))


def _word_start(text: str, begin: int, most: int) -> int:
    """`begin`, moved behind the word that it lies in, `most` at most; what is written without blanks, as Chinese is, is cut anywhere."""
    if begin == 0 or begin >= most or text[begin - 1].isspace() or _PARTED.match(text, begin - 1):
        return begin
    return next((at for at in range(begin, most) if text[at - 1].isspace() or _PARTED.match(text, at - 1)), most)


def _source(
    passage: StoredPassage, begin: int, confidence: float, *, marks: tuple[tuple[int, int], ...] = (), chars: int = SNIPPET_CHARS
) -> Source:
    text = passage.text[begin:][:chars]
    return Source(
        kind="passage",
        id=str(passage.id),
        title=" > ".join(part for part in (passage.title, passage.heading) if part) or passage.document,
        text=text,
        score=confidence,
        document=passage.document,
        url=passage.url or None,
        start=passage.start + begin,
        end=passage.start + begin + len(text),
        page=passage.page_at(begin + (marks[0][0] if marks else 0)),
        marks=marks,
    )


def _between(before: Sentence | None, sentence: Sentence) -> str:
    if before is None:
        return ""
    if before.hit.passage.id != sentence.hit.passage.id:
        return "\n"
    if before.whole or sentence.whole:
        return "\n"
    gap = sentence.hit.passage.text[before.end : sentence.start]
    if gap.strip():
        return " … "
    if "\n" in gap:
        return "\n"
    return "" if guess_locale(sentence.text) is Locale.ZH else " "


def _tokens(encoded: EncodedQuery | None, scope: Scope, passages: Sequence[int]) -> QuestionTokens | None:
    """The token vectors of question and passages, where there are any."""
    projection = load_projection(encoded.encoder) if encoded else None
    if encoded is None or encoded.token_vectors is None or projection is None or not len(encoded.token_vectors):
        return None
    packed = stored_tokens(EntryKind.PASSAGE, passages, follower().generations(scope.kb_ids, EntryKind.PASSAGE, encoded.encoder))
    rows = {id: tokens for id, row in packed.items() if (tokens := unpack_tokens(encoded.encoder, row)) is not None}
    return QuestionTokens(rows=projection.project(encoded.token_vectors), projection=projection, passages=rows)


def _why(text: str, reading: Reading, hits: Sequence[PassageHit]) -> JSONDict:
    """What the trace keeps: reasons and candidates, with the extra question that found one, where one did, and the words that it shares."""
    asked = texts_of_questions([hit.question for hit in hits[:EXPLAINED] if hit.question is not None])
    terms = frozenset(analyze(text)) if asked else frozenset()
    return {
        "reasons": {name: round(value, 3) for name, value in reading.reasons.items()},
        "candidates": [
            {
                "id": hit.passage.document,
                "phrasing": hit.passage.text[:120],
                "score": round(hit.score, 4),
                "contributions": {
                    name: round(value, 4)
                    for name, value in (("cosine", hit.cosine), ("bm25", hit.bm25), ("met", hit.met), ("reranked", hit.reranked))
                    if value is not None
                },
                **_found_by(asked.get(hit.question or 0, ""), terms),
            }
            for hit in hits[:EXPLAINED]
        ],
    }


def _found_by(question: str, terms: frozenset[str]) -> JSONDict:
    """The extra question of a candidate, and its terms that the question asked has too."""
    return (
        {"question": {"text": question, "terms": [term for term in dict.fromkeys(analyze(question)) if term in terms]}} if question else {}
    )
