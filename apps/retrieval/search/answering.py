"""Which sentences of the passages found answer a question? Those where its words and tokens are met best, and how sure is that?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from operator import itemgetter

from apps.retrieval.grounding.orders import follows_order
from apps.retrieval.indexes.analysis import analyze, fold
from apps.retrieval.query_layer.codes import codes_named, codes_written
from apps.retrieval.search.confidence import (
    CODE_NOWHERE,
    COLUMN_UNMET,
    COMPARED_SENTENCES,
    ROW_UNMET,
    USUALLY_LACKING,
    evidence,
    probability,
    reasons_of,
)
from apps.retrieval.search.fusion import AnswerFit, Fusion, fallback
from apps.retrieval.search.hybrid import PassageHit
from apps.retrieval.search.led_lists import LedList, led_lists
from apps.retrieval.search.pieces import Piece, pieces_of
from apps.retrieval.search.stored_passages import StoredPassage
from apps.retrieval.search.table_rows import Row, telling_terms
from apps.retrieval.search.tokens_met import QuestionTokens, TokensMet
from core.sentences import is_heading
from core.text import clean_text, guess_locale

READ = 3  # passages that sentences are taken from
LAG_A_PLACE = 0.05  # how far behind a place is where a reranker's scores, of any scale, made the order
SHOWN = 2  # sentences of an answer, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence of a passage, `hit.passage.text[start:end]`, or a row of a table in it, or a list with what leads to it.

    `met` is how well it meets the question's tokens (weighted MaxSim; None without token vectors), `words` the share of the
    question's terms that it has. Of a row that `is_any_row`, the question has no word that tells it from the others of its table.
    """

    hit: PassageHit
    start: int
    end: int
    score: float
    words: float
    met: float | None
    whole: Row | LedList | None = None
    is_any_row: bool = False

    @property
    def text(self) -> str:
        """The sentence itself; a row with the names of its columns, a list under what leads to it."""
        return self.whole.shown if self.whole else self.said

    @property
    def said(self) -> str:
        """What the passage itself says there."""
        return self.hit.passage.text[self.start : self.end]

    @property
    def row(self) -> Row | None:
        """The row of a table that it is, if it is one."""
        return self.whole if isinstance(self.whole, Row) else None

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The parts of the passage's text that `text` says word for word."""
        return self.whole.spans if self.whole else ((self.start, self.end),)

    def holds(self, other: Sentence) -> bool:
        """Whether another sentence is said in this one."""
        same = other is not self and other.hit.passage.id == self.hit.passage.id
        return same and self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What can be answered: sentences in reading order, the probability that they hold the answer, and what it is made of.

    `reasons` add up, with the fit's intercept, to the logit of `confidence`.
    """

    sentences: tuple[Sentence, ...]
    confidence: float
    accepted: bool
    reasons: Mapping[str, float]


def read_answer(question: str, hits: Sequence[PassageHit], tokens: QuestionTokens | None, fusion: Fusion) -> Reading:
    """The best sentences of the first passages. Nothing is accepted where there are no passages."""
    read = hits[:READ]
    fit = _fit_for(question, read, fusion) if tokens is not None else fallback().answers
    terms = frozenset(analyze(question))
    sentences = [one for place, hit in enumerate(read) for one in _sentences(hit, terms, tokens, fit, lag=_lag(read, place))]
    ordered = _plain(sorted(sentences, key=lambda one: -one.score))
    if not ordered:
        return Reading(sentences=(), confidence=0.0, accepted=False, reasons={})
    others = [hit for hit in hits[1:] if not _says(hit, ordered[0])]
    found = evidence([hits[0], *others], [one.score for one in ordered], ordered[0].words, fit.typical)
    reasons = reasons_of(found, fit) | _doubts(ordered[0], tokens) | ({} if _have_codes(hits, question) else {"code_nowhere": CODE_NOWHERE})
    confidence = probability(reasons, fit)
    return Reading(sentences=_shown(ordered), confidence=confidence, accepted=confidence >= fit.threshold, reasons=reasons)


def _fit_for(question: str, read: Sequence[PassageHit], fusion: Fusion) -> AnswerFit:
    """How sure an answer is depends on whether the first passage is in the question's language."""
    same = not read or guess_locale(question) is guess_locale(read[0].passage.text)
    return fusion.answers if same or fusion.across is None else fusion.across


def _have_codes(hits: Sequence[PassageHit], question: str) -> bool:
    """Whether each model number that is asked about stands in a passage found, or in its title or headings."""
    asked = codes_named(fold(question))
    texts = ((hit.passage.title, hit.passage.heading, hit.passage.text) for hit in hits if asked)
    return asked <= frozenset(code for parts in texts for code in codes_written(fold("\n".join(parts))))


def _doubts(best: Sentence, tokens: QuestionTokens | None) -> dict[str, float]:
    """What makes a row of a table less sure: that nothing tells which one is asked for, or that it has no column for all that is asked."""
    doubts = {"row_unmet": ROW_UNMET} if best.is_any_row else {}
    if best.row is None or not best.row.names:
        return doubts
    passage = best.hit.passage
    lacking = TokensMet(passage, pieces_of(passage.text, passage.heading), tokens).lacking(best.row) - USUALLY_LACKING
    return doubts | ({"column_unmet": COLUMN_UNMET * lacking} if lacking > 0 else {})


def _plain(ordered: Sequence[Sentence]) -> list[Sentence]:
    """The best that are neither headings nor orders to a model, nor said before in the same words: what is shown, and how sure it is, rests on these alone.

    Of editions of a document that say the same, the newest one is the source, whichever was found first.
    """
    by_words: dict[str, Sentence] = {}
    for one in filter(_says_something, ordered):
        words = clean_text(one.text)
        before = by_words.setdefault(words, one)
        if _is_newer_edition(one.hit.passage, before.hit.passage):
            by_words[words] = replace(one, score=before.score)
        if len(by_words) == COMPARED_SENTENCES:
            break
    return list(by_words.values())


def _is_newer_edition(passage: StoredPassage, other: StoredPassage) -> bool:
    """Whether a passage has the same place in a document of the same title and a later date."""
    same = (passage.title, passage.heading) == (other.title, other.heading)
    return same and (passage.date or date.min) > (other.date or date.min)


def _says(hit: PassageHit, sentence: Sentence) -> bool:
    """Whether a passage holds a sentence word for word: a copy of what answers is nothing that the answer must stand out from."""
    said = clean_text(sentence.said)
    return bool(said) and said in clean_text(hit.passage.text)


def _says_something(sentence: Sentence) -> bool:
    text, start, end = sentence.hit.passage.text, sentence.start, sentence.end
    return (sentence.whole is not None or not is_heading(text, start, end)) and not follows_order(text, start, end)


def _lag(read: Sequence[PassageHit], place: int) -> float:
    """How far a passage lies behind the first, in the units of fused scores."""
    return place * LAG_A_PLACE if read[0].reranked is not None else read[0].score - read[place].score


def _shown(ordered: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """The best sentences: of the first one's passage in the order of the text, then those of others.

    Beside a row or a list stands only what has as many of the question's words, and so does a list beside a sentence: the next best row
    mostly tells of another thing.
    """
    best = ordered[0]
    others = [one for one in ordered[1:] if not best.holds(one) and not one.holds(best)]
    whole = best.whole is not None
    beside = others[: SHOWN - 1]
    chosen = [best, *(one for one in beside if one.words >= best.words or not (whole or isinstance(one.whole, LedList)))]
    rank = {one.hit.passage.id: place for place, one in reversed(list(enumerate(chosen)))}
    return tuple(sorted(chosen, key=lambda one: (rank[one.hit.passage.id], one.start)))


def _sentences(hit: PassageHit, terms: frozenset[str], tokens: QuestionTokens | None, fit: AnswerFit, *, lag: float) -> list[Sentence]:
    """Every sentence of a passage with its score; a passage that lies behind the first by `lag` is behind by as much here.

    A list counts as what leads to it does: where that meets the question, the items are the answer. In a row of a table the words that
    tell it from the others count twice.
    """
    text = hit.passage.text
    pieces = pieces_of(text, hit.passage.heading)
    met = TokensMet(hit.passage, pieces, tokens)

    lists, telling = list(led_lists(text, hit.passage.heading)), _telling(text, pieces, terms)
    leads = {one.at for one in lists}

    def scored(start: int, end: int, said: str, one: float | None, whole: Row | LedList | None) -> Sentence:
        words = len(terms.intersection(analyze(said))) / max(len(terms), 1)
        told = telling.get(start) if isinstance(whole, Row) else None
        score = fit.met * (one or 0.0) + fit.words * (words + len(told or ()) / max(len(terms), 1)) - fit.lag * lag
        return Sentence(
            hit=hit, start=start, end=end, score=score, words=words, met=one, whole=whole, is_any_row=told is not None and not told
        )

    found = [scored(one.start, one.end, one.lead, met.in_lead(one), one) for one in lists]
    for piece in pieces:
        if not piece.apart and (piece.start, piece.end) not in leads:
            said = f"{piece.row.names if piece.row else ''} {text[piece.start : piece.end]}"
            found.append(scored(piece.start, piece.end, said, met.in_piece(piece), piece.row))
    return found


def _telling(text: str, pieces: Sequence[Piece], terms: frozenset[str]) -> dict[int, frozenset[str]]:
    """The question's terms that tell each row from the others of its table, by where the row starts; rows of pairs and without names are left out."""
    found: dict[int, frozenset[str]] = {}
    rows = [(piece, piece.row.table) for piece in pieces if piece.row and piece.row.names]
    for _, table in groupby(rows, key=itemgetter(1)):
        own = [piece for piece, _ in table]
        told = telling_terms([frozenset(analyze(text[one.start : one.end])) for one in own], terms)
        found |= {one.start: these for one, these in zip(own, told, strict=True)}
    return found
