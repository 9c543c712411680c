"""Where is a document cut into passages? By its structure, within a budget of tokens, with exact offsets.

The blocks of a document are laid out as one text. Its pieces (sentences, items of a list, rows of a table, lines of code)
are the places where it may be cut; the cuts are those that cost least in all: a heading is the best place, then the end of
a paragraph, then of a sentence, and passages should be neither crumbs nor longer than the encoder reads. Least total cost
over all segmentations is found by dynamic programming (Wagner-Fischer style, linear in the pieces).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from apps.retrieval.documents.page_numbers import note_pages
from apps.retrieval.parsing.parsed import Block, BlockKind
from core.sentences import estimate_tokens, sentence_spans

TARGET_TOKENS = 300
MAX_TOKENS = 400  # of the estimate; with title and headings it stays within the 512 tokens that encoders of the BERT family read
CRUMB_TOKENS = 100
MAX_HEADING = 500
BETWEEN_BLOCKS = "\n\n"
PATH_JOIN = " > "

_CUT_COST = {BlockKind.HEADING: -0.3, BlockKind.PARAGRAPH: 0.05, BlockKind.LIST: 0.1, BlockKind.TABLE: 0.05, BlockKind.CODE: 0.05}
_INSIDE_COST = {BlockKind.HEADING: 1.0, BlockKind.PARAGRAPH: 0.3, BlockKind.LIST: 0.2, BlockKind.TABLE: 0.3, BlockKind.CODE: 0.5}
_TORN_COST = 1.0
_NEVER_COST = 100.0  # a heading is not parted from what follows it
_PASSAGE_COST = 0.15
_LOOK_CHARS = 4_000  # mostly more than the budget: what is torn may be megabytes, and is not estimated whole for every passage of it
_LARGE_BLOCK_CHARS, _MANY_PIECES = 100_000, 5_000
_TINY_CHARS = 100  # from there on: a table of a million numbers is cut between some of its rows, not between any two
_LINE = re.compile(r"[^\n]*\S[^\n]*")
_CLAUSE = re.compile(r"[，、；：,;:]\s*|\s+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A passage to be: `text` is the document's text from `start` to `end`. `heading` is the path of headings above it.

    A passage that continues a table has the table's header row as its innermost heading. The section is what stands under
    the nearest headings, from heading to heading, for context.
    """

    text: str
    start: int
    end: int
    heading: str
    page: int | None
    later_pages: str
    section_start: int
    section_end: int


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """A document's text and its passages in order."""

    text: str
    passages: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    """What stands between two headings: its span, and the headings above it, outermost first."""

    start: int
    end: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is never cut: a span, its tokens, what a cut before it costs, and where it stands."""

    start: int
    end: int
    tokens: float
    cut_cost: float
    block: Block
    section: int
    table_header: str = ""

    @property
    def is_heading(self) -> bool:
        return self.block.kind is BlockKind.HEADING


def chunk_document(blocks: Sequence[Block], *, title: str = "") -> ChunkedDocument:
    """The text of the blocks and where it is cut. Blocks without visible text are left out; a document without any has no passages."""
    placed = _placed([block for block in blocks if block.text.strip()])
    text = BETWEEN_BLOCKS.join(block.text for block, _ in placed)
    sections = _sections(placed, title.strip())
    pieces = _pieces(placed, sections)
    chunks = (_chunk(text, sections, pieces[first:end]) for first, end in _cuts(pieces))
    return ChunkedDocument(text, tuple(chunks))


def _placed(blocks: Sequence[Block]) -> list[tuple[Block, int]]:
    """Each block with its offset. A heading that nothing stands under, or of great length, is a paragraph: nothing else would hold its words."""
    placed, at = [], 0
    for number, block in enumerate(blocks):
        block = Block(kind=block.kind, text=block.text.strip(), level=block.level, page=block.page)
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        bare = following is None or (following.kind is BlockKind.HEADING and following.level <= block.level)
        if block.kind is BlockKind.HEADING and (bare or len(block.text) > MAX_HEADING):
            block = Block(kind=BlockKind.PARAGRAPH, text=block.text, page=block.page)
        placed.append((block, at))
        at += len(block.text) + len(BETWEEN_BLOCKS)
    return placed


def _sections(placed: Sequence[tuple[Block, int]], title: str) -> list[_Section]:
    """The sections in order; the first one is what stands before any heading, and may be empty. The title is in no path."""
    found = [_Section(0, 0, ())]
    above: list[Block] = []
    for block, at in placed:
        if block.kind is BlockKind.HEADING:
            above = [*(heading for heading in above if heading.level < block.level), block]
            names = [" ".join(heading.text.split()) for heading in above]
            found.append(_Section(at, at, tuple(names[1:] if names[0] == title else names)))
        found[-1] = replace(found[-1], end=at + len(block.text))
    return found


def _pieces(placed: Sequence[tuple[Block, int]], sections: Sequence[_Section]) -> list[_Piece]:
    pieces: list[_Piece] = []
    section = 0
    for block, at in placed:
        if block.kind is BlockKind.HEADING:
            section += 1
        after_heading = bool(pieces) and pieces[-1].is_heading
        header = block.text.split("\n", 1)[0] if block.kind is BlockKind.TABLE else ""
        for number, (start, end, tokens, torn) in enumerate(_spans(block)):
            inside = _TORN_COST if torn else _INSIDE_COST[block.kind]
            cost = inside if number else _NEVER_COST if after_heading else _CUT_COST[block.kind]
            piece = _Piece(at + start, at + end, tokens, cost, block, section, header if number else "")
            if len(pieces) > _MANY_PIECES and _goes_with(pieces[-1], piece):
                before = pieces.pop()
                piece = replace(before, end=piece.end, tokens=before.tokens + tokens)
            pieces.append(piece)
    return pieces


def _goes_with(before: _Piece, piece: _Piece) -> bool:
    """Whether both are paragraphs of the same section and page, and tiny."""
    kinds = {before.block.kind, piece.block.kind}
    same = (before.section, before.block.page) == (piece.section, piece.block.page)
    return kinds == {BlockKind.PARAGRAPH} and same and piece.end - before.start <= _TINY_CHARS


def _spans(block: Block) -> Iterator[tuple[int, int, float, bool]]:
    """(start, end, tokens, whether it is torn from what precedes) of a block's pieces, none over the budget."""
    if block.kind in (BlockKind.CODE, BlockKind.HEADING) and (whole := estimate_tokens(block.text)) <= MAX_TOKENS:
        yield 0, len(block.text), whole, False
        return
    parts = _parts(block)
    for start, end in _tiny_ones_joined(parts) if len(block.text) > _LARGE_BLOCK_CHARS else parts:
        tokens = estimate_tokens(block.text[start:end])
        if tokens <= MAX_TOKENS:
            yield start, end, tokens, False
        else:
            yield from _torn(block.text, start, end)


def _parts(block: Block) -> Iterator[tuple[int, int]]:
    """Sentences of a paragraph, lines of anything else; the header of a table stays with its first row."""
    if block.kind is BlockKind.PARAGRAPH:
        yield from sentence_spans(block.text)
        return
    lines = (found.span() for found in _LINE.finditer(block.text))
    first_two = list(islice(lines, 2)) if block.kind is BlockKind.TABLE else []
    if len(first_two) == 2 and estimate_tokens(block.text[first_two[0][0] : first_two[1][1]]) <= MAX_TOKENS:
        first_two = [(first_two[0][0], first_two[1][1])]
    yield from first_two
    yield from lines


def _tiny_ones_joined(parts: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts, neighbours of up to `_TINY_CHARS` in all as one: their number, which the search for cuts goes by, is that of full lines."""
    begun: tuple[int, int] | None = None
    for start, end in parts:
        if begun is not None and end - begun[0] > _TINY_CHARS:
            yield begun
            begun = None
        begun = (begun[0] if begun else start, end)
    if begun is not None:
        yield begun


def _torn(text: str, start: int, end: int) -> Iterator[tuple[int, int, float, bool]]:
    """A piece over the budget, cut after clauses or blanks, and where there are none within the budget, anywhere."""
    first = True
    while start < end:
        stop = _reach(text, start, end)
        piece = text[start:stop]
        lead = len(piece) - len(piece.lstrip())
        if lead < len(piece):
            kept = piece.strip()
            yield start + lead, start + lead + len(kept), estimate_tokens(kept), not first
            first = False
        start = stop


def _reach(text: str, start: int, end: int) -> int:
    """How far from `start` the target reaches: the last clause or blank in its second half, else the last character that fits."""
    stop = min(end, start + _LOOK_CHARS)
    while stop < end and estimate_tokens(text[start:stop]) <= TARGET_TOKENS:
        stop = min(end, stop + (stop - start))
    while stop - start > 1 and (tokens := estimate_tokens(text[start:stop])) > TARGET_TOKENS:
        stop = start + max(1, min(stop - start - 1, int((stop - start) * TARGET_TOKENS / tokens)))
    if stop >= end:
        return end
    clauses = [found.end() for found in _CLAUSE.finditer(text, start + (stop - start) // 2, stop)]
    return clauses[-1] if clauses else stop


def _cuts(pieces: Sequence[_Piece]) -> list[tuple[int, int]]:
    """(first, end) of the pieces of each passage: the segmentation of least cost, or all in one where they fit."""
    if not pieces:
        return []
    if sum(piece.tokens for piece in pieces) <= MAX_TOKENS:
        return [(0, len(pieces))]
    least, came_from = [0.0], [0]
    for end in range(1, len(pieces) + 1):
        costs = {first: least[first] + cost for first, cost in _last_passages(pieces, end)}
        first = min(costs, key=costs.__getitem__)
        least.append(costs[first])
        came_from.append(first)
    cuts, end = [], len(pieces)
    while end:
        cuts.append((came_from[end], end))
        end = came_from[end]
    return cuts[::-1]


def _last_passages(pieces: Sequence[_Piece], end: int) -> Iterator[tuple[int, float]]:
    """(first, cost) of every passage that may end before the piece `end`. Headings that it begins with are not in its size."""
    size = headings = 0.0
    for first in range(end - 1, -1, -1):
        piece = pieces[first]
        if piece.is_heading:
            headings += piece.tokens
        else:
            size, headings = size + headings + piece.tokens, 0.0
        if size > MAX_TOKENS and first < end - 1:
            return
        yield first, _size_cost(size or headings) + (piece.cut_cost if first else 0.0)


def _size_cost(tokens: float) -> float:
    """What a passage of this size costs: each one a little, crumbs and those over the target more."""
    cost = _PASSAGE_COST + 0.1 * ((tokens - TARGET_TOKENS) / TARGET_TOKENS) ** 2
    if tokens < CRUMB_TOKENS:
        cost += ((CRUMB_TOKENS - tokens) / CRUMB_TOKENS) ** 2
    if tokens > TARGET_TOKENS:
        cost += 0.5 * ((tokens - TARGET_TOKENS) / (MAX_TOKENS - TARGET_TOKENS)) ** 2
    return cost


def _chunk(text: str, sections: Sequence[_Section], pieces: Sequence[_Piece]) -> Chunk:
    """The passage of these pieces, without the headings that it begins with and that all of it stands under, or that do not fit."""
    body = [piece for piece in pieces if not piece.is_heading] or list(pieces)
    path = _common([sections[piece.section].path for piece in body])
    first = 0
    while pieces[first].is_heading and len(pieces) > first + 1 and _stands_above(sections[pieces[first].section].path, path):
        first += 1
    while pieces[first].is_heading and len(pieces) > first + 1 and sum(piece.tokens for piece in pieces[first:]) > MAX_TOKENS:
        first += 1
    kept = pieces[first:]
    start, end = kept[0].start, kept[-1].end
    header = kept[0].table_header
    page, later_pages = note_pages((piece.start - start, piece.block.page) for piece in kept)
    return Chunk(
        text=text[start:end],
        start=start,
        end=end,
        heading=PATH_JOIN.join([*path, *([header] if header else [])])[:MAX_HEADING],
        page=page,
        later_pages=later_pages,
        section_start=min(start, sections[body[0].section].start),
        section_end=max(end, sections[body[-1].section].end),
    )


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What all paths begin with."""
    shortest = min(paths, key=len)
    return next((shortest[:at] for at in range(len(shortest)) if any(path[at] != shortest[at] for path in paths)), shortest)


def _stands_above(heading: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether the heading with this path is the title, or one of those in `path`."""
    return path[: len(heading)] == heading
