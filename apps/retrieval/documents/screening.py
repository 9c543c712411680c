"""Which readings does a knowledge base keep out, and what does it mend in those that it takes? Its policy says so, the report why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

import ftfy

from apps.retrieval.documents.drafts import Draft
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.readings import Reading
from apps.retrieval.models import IngestPolicy, KnowledgeBase
from core.quality import find_flaw
from core.word_list import WordList


@dataclass(frozen=True, slots=True)
class PlacedDraft:
    """A draft and where its source is."""

    place: str
    draft: Draft


def policy_of(kb: KnowledgeBase) -> IngestPolicy:
    """The policy of the knowledge base; the usual one where nobody set any."""
    return IngestPolicy.objects.filter(kb=kb).first() or IngestPolicy(kb=kb)


def policy_digest(policy: IngestPolicy) -> str:
    """What a source's hash takes in of the policy: after a change that can keep other content out, every source is looked at again."""
    parts = [
        policy.repair_encoding,
        policy.drop_poor,
        policy.drop_site_lines,
        policy.min_chars,
        policy.block_words and policy.blocked_words,
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def mended(reading: Reading, policy: IngestPolicy) -> Reading:
    """The reading with texts put right that were decoded in the wrong encoding once (`â€™` is `’`)."""
    if not policy.repair_encoding:
        return reading
    blocks = tuple(replace(block, text=_mended(block.text)) for block in reading.blocks)
    return replace(reading, blocks=blocks, row=replace(reading.row, title=_mended(reading.row.title)))


def is_kept_out(reading: Reading, place: str, policy: IngestPolicy, report: IngestReport) -> bool:
    """Whether the policy keeps the content of this reading out; then the report has the reason."""
    text = reading.text
    if policy.drop_poor and (flaw := find_flaw(text, min_chars=policy.min_chars)):
        report.drop(place, flaw[0].value, flaw[1])
        return True
    if policy.block_words and (phrase := _word_list(policy.blocked_words).first_in(f"{reading.row.title}\n{text}")):
        report.drop(place, "blocked_word", f"It holds {phrase!r}, which the list of blocked words has.")
        return True
    return False


def _mended(text: str) -> str:
    return text if text.isascii() else ftfy.fix_encoding(text)


@lru_cache(maxsize=16)
def _word_list(words: str) -> WordList:
    return WordList(words.splitlines())
