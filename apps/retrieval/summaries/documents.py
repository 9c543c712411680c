"""What does a document say, in a few of its own sentences?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from apps.retrieval.models import Document, Passage
from apps.retrieval.summaries.candidates import Candidate, candidates_of, joined
from apps.retrieval.summaries.ranking import choose_sentences
from core.types import JSONDict, JSONValue

MAX_PASSAGES = 100
LEAD = 4.0  # sentences within which a beginning loses most of its weight
SECTION = 0.3  # what the beginning of a section counts, against that of the document


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentSummary:
    """Sentences of a document in their order. `read` of its `passages` were looked at: all, or so many at even distances."""

    document: Document
    sentences: tuple[JSONDict, ...]
    passages: int
    read: int

    def as_dict(self) -> JSONDict:
        """The summary on the wire."""
        sentences: list[JSONValue] = list(self.sentences)
        return {
            "document": self.document.external_id,
            "title": self.document.title,
            "text": joined(str(sentence["text"]) for sentence in self.sentences),
            "sentences": sentences,
            "by": "extraction",
            "passages": self.passages,
            "read": self.read,
        }


def summarize_document(document: Document, *, count: int) -> DocumentSummary:
    """Up to `count` sentences. Of a document of more than `MAX_PASSAGES` passages so many are read, at even distances; two queries in all."""
    passages = Passage.objects.filter(document=document)
    total = passages.count()
    wanted = [total * place // MAX_PASSAGES for place in range(MAX_PASSAGES)] if total > MAX_PASSAGES else range(total)
    read = list(passages.filter(number__in=wanted).order_by("number"))
    candidates = candidates_of([passage.text for passage in read])
    chosen = choose_sentences([one.text for one in candidates], _prior(candidates, read), count)
    shown = [_as_dict(candidates[place], read[candidates[place].passage]) for place in sorted(chosen)]
    return DocumentSummary(document=document, sentences=tuple(shown), passages=total, read=len(read))


def _prior(candidates: Sequence[Candidate], passages: Sequence[Passage]) -> list[float]:
    """Beginnings say what follows: that of the document most, those of its sections less."""
    prior, sections = list[float](), dict[int, int]()
    for place, one in enumerate(candidates):
        section = passages[one.passage].section_start
        first = sections.setdefault(section, place)
        prior.append(max(math.exp(-place / LEAD), SECTION * math.exp(-(place - first) / LEAD)))
    return prior


def _as_dict(one: Candidate, passage: Passage) -> JSONDict:
    return {
        "text": one.text,
        "start": passage.start + one.start,
        "end": passage.start + one.end,
        "passage": passage.pk,
        "heading": passage.heading,
        "page": passage.page,
    }
