"""What does a document say, in a few of its own sentences?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apps.retrieval.documents.page_numbers import page_at
from apps.retrieval.models import Document, Passage
from apps.retrieval.summaries.candidates import Candidate, candidates_of, joined
from apps.retrieval.summaries.writing import By, Ranked, Writer, Written
from core.types import JSONDict, JSONValue

MAX_PASSAGES = 100
LEAD = 4.0  # sentences within which a beginning loses most of its weight
SECTION = 0.3  # what the beginning of a section counts, against that of the document


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentSummary:
    """Sentences of a document in their order, or what a generator made of them. `read` of its `passages` were looked at: all, or so
    many at even distances. `degraded` says that a generator was asked and none answered in time."""

    document: Document
    sentences: tuple[JSONDict, ...]
    passages: int
    read: int
    by: By = By.EXTRACTION
    degraded: bool = False

    def as_dict(self) -> JSONDict:
        """The summary on the wire."""
        sentences: list[JSONValue] = list(self.sentences)
        return {
            "document": self.document.external_id,
            "title": self.document.title,
            "text": joined(str(sentence["text"]) for sentence in self.sentences),
            "sentences": sentences,
            "by": self.by.value,
            "passages": self.passages,
            "read": self.read,
            "degraded": self.degraded,
        }


def summarize_document(document: Document, *, count: int, write: Writer | None = None) -> DocumentSummary:
    """Up to `count` sentences; those that `write` has written, where it is given and comes to any.

    Of a document of more than `MAX_PASSAGES` passages so many are read, at even distances; two queries in all.
    """
    passages = Passage.objects.filter(document=document)
    total = passages.count()
    wanted = [total * place // MAX_PASSAGES for place in range(MAX_PASSAGES)] if total > MAX_PASSAGES else range(total)
    read = list(passages.filter(number__in=wanted).order_by("number"))
    candidates = candidates_of([passage.text for passage in read])
    heads = [" > ".join(part for part in (document.title, passage.heading) if part) for passage in read]
    ranked = Ranked(candidates=candidates, prior=_prior(candidates, read), heads=heads)
    written = write(ranked, count=count) if write else Written()
    extracted = sorted(ranked.best(count), key=lambda one: (one.passage, one.start)) if not written.sentences else []
    return DocumentSummary(
        document=document,
        sentences=tuple(
            [_as_dict(one.text, read[one.passage], 0, len(read[one.passage].text)) for one in written.sentences]
            or [_as_dict(one.text, read[one.passage], one.start, one.end) for one in extracted]
        ),
        passages=total,
        read=len(read),
        by=By.GENERATOR if written.sentences else By.EXTRACTION,
        degraded=written.failed,
    )


def _prior(candidates: Sequence[Candidate], passages: Sequence[Passage]) -> list[float]:
    """Beginnings say what follows: that of the document most, those of its sections less."""
    prior, sections = list[float](), dict[int, int]()
    for place, one in enumerate(candidates):
        section = passages[one.passage].section_start
        first = sections.setdefault(section, place)
        prior.append(max(math.exp(-place / LEAD), SECTION * math.exp(-(place - first) / LEAD)))
    return prior


def _as_dict(text: str, passage: Passage, start: int, end: int) -> JSONDict:
    """A sentence with where it stands, or where what supports it stands: `start` and `end` in the passage's text."""
    return {
        "text": text,
        "start": passage.start + start,
        "end": passage.start + end,
        "passage": passage.pk,
        "heading": passage.heading,
        "page": page_at(passage.page, passage.later_pages, start),
    }
