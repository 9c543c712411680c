"""Which lines come back on every page of a site? Menus, notices and footers that say nothing of the page: they are left out.

For each site the most frequent short blocks are counted in bounded space (Misra and Gries, "Finding repeated elements", 1982):
whatever is on half the pages is among the `KEPT` counters, whatever else passes through.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from apps.retrieval.documents.readings import Reading
from apps.retrieval.models import KnowledgeBase, SiteLines
from apps.retrieval.parsing.parsed import Block, BlockKind
from core.text import normalize

KEPT = 400
MAX_CHARS = 300
MIN_PAGES, MIN_SHARE = 5, 0.5
_JUDGED = frozenset({BlockKind.HEADING, BlockKind.PARAGRAPH, BlockKind.LIST})


def without_site_lines(kb: KnowledgeBase, readings: Sequence[Reading]) -> list[Reading]:
    """The readings, pages of the web without the blocks that half the pages of their site have. Counts these pages too.

    A page of nothing else stays as it is. Two queries in all, none where there is no page.
    """
    sites: dict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        if site := site_of(reading):
            sites[site].append(reading)
    if not sites:
        return list(readings)
    counted = {found.site: found for found in SiteLines.objects.filter(kb=kb, site__in=sites)}
    for site, pages in sites.items():
        _count(counted.setdefault(site, SiteLines(kb=kb, site=site)), pages)
    SiteLines.objects.bulk_create(counted.values(), update_conflicts=True, unique_fields=["kb", "site"], update_fields=["pages", "lines"])
    return [_stripped(reading, counted[site]) if (site := site_of(reading)) else reading for reading in readings]


def site_of(reading: Reading) -> str:
    """The host of a page's address, or the folder of its file; empty for what is no page of the web."""
    if reading.row.media_type != "text/html":
        return ""
    folder, slash, _ = str(reading.row.id).partition("/")
    return (urlsplit(reading.row.url).hostname or (folder if slash else ""))[:200]


def _count(counted: SiteLines, pages: Sequence[Reading]) -> None:
    for page in pages:
        counted.pages += 1
        for line in {key for block in page.blocks if (key := _key(block))}:
            counted.lines[line] = counted.lines.get(line, 0) + 1
            if len(counted.lines) > KEPT:
                counted.lines = {key: count - 1 for key, count in counted.lines.items() if count > 1}


def _stripped(page: Reading, counted: SiteLines) -> Reading:
    least = max(MIN_PAGES, MIN_SHARE * counted.pages)
    blocks = tuple(block for block in page.blocks if counted.lines.get(_key(block), 0) < least)
    return replace(page, blocks=blocks) if blocks else page


def _key(block: Block) -> str:
    """What stands for the block among those of its site; empty for one that is too long to be part of a frame."""
    if block.kind not in _JUDGED or len(block.text) > MAX_CHARS:
        return ""
    return hashlib.blake2b(normalize(block.text).encode(), digest_size=8).hexdigest()
