"""What does text around the passages add to a prompt, and what does it cost?

    python -m bench.section_context --data FOLDER [--budgets 0,150,300] [--asked 20] [--written 2] [--out FILE]

FOLDER holds passages.jsonl (id, title, text) and qa.jsonl (question, answers, passage_id). The passages of one title become one
document, cut anew. Of each document `--asked` questions are searched, and for each budget it is counted how often the sentence that
holds the answer stands in the prompt, and what the prompt's tokens are. `--written` questions of each are then put to the generator, the budgets
in turns: the time until its first token (with a system message of its own each, so that nothing is remembered), and what the check
says of each sentence that it writes. The models are those of `QA_MODEL_DIR`. Only ratios within a run mean something on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from bench.grounding import set_up_django

SEED = 5
FOUND = 10


@dataclass(kw_only=True, slots=True)
class Budget:
    """What was seen under one budget of context."""

    tokens: list[int] = field(default_factory=list)
    held: int = 0
    first_token_ms: list[float] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    drafts: list[str] = field(default_factory=list)
    answered: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budgets", default="0,150,300")
    parser.add_argument("--asked", type=int, default=20, help="questions of each document that are searched")
    parser.add_argument("--written", type=int, default=2, help="of these, those that are put to the generator")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = tempfile.TemporaryDirectory(prefix="wenlu-bench-")
    set_up_django(folder.name, "", 120.0)
    sizes = [int(one) for one in options.budgets.split(",")]
    passages = {row["id"]: row for row in rows_of(options.data / "passages.jsonl")}
    questions = chosen_questions(rows_of(options.data / "qa.jsonl"), passages, options.asked)
    kb = load(passages)
    seen = {size: Budget() for size in sizes}
    for number, (row, is_written) in enumerate((row, place < options.written) for rows in questions for place, row in enumerate(rows)):
        ask(kb, row, passages[row["passage_id"]]["text"], seen, number if is_written else None)
    result = {"data": options.data.name, "questions": sum(map(len, questions)), "budgets": figures(seen)}
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    close()


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a jsonl file."""
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())


def chosen_questions(rows: Iterator[dict[str, Any]], passages: dict[str, dict[str, Any]], count: int) -> list[list[dict[str, Any]]]:
    """So many questions of each title, drawn by a fixed seed."""
    by_title: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["answers"]:
            by_title[passages[row["passage_id"]]["title"]].append(row)
    draw = random.Random(SEED)
    return [draw.sample(own, min(count, len(own))) for own in by_title.values()]


def load(passages: dict[str, dict[str, Any]]) -> Any:
    """A knowledge base with a document for each title, findable."""
    from apps.accounts.commands import command_caller
    from apps.retrieval.documents.readings import draft_of, reading_of_row
    from apps.retrieval.documents.rows import DocumentRow
    from apps.retrieval.documents.services import save_documents
    from apps.retrieval.services import create_kb
    from core.types import Locale

    caller = command_caller("bench")
    kb = create_kb(slug="bench", name="bench", locale=Locale.EN, caller=caller)
    texts: dict[str, list[str]] = defaultdict(list)
    for row in passages.values():
        texts[row["title"]].append(row["text"])
    documents = [
        DocumentRow(id=title, title=title.replace("_", " "), text="\n\n".join(own), status="published") for title, own in texts.items()
    ]
    save_documents(kb, [draft_of(reading_of_row(row)) for row in documents], caller)
    return kb


def ask(kb: Any, row: dict[str, Any], text: str, seen: dict[int, Budget], number: int | None) -> None:
    """Searches one question, makes its prompt under each budget, and where it has a number has the generator write, the budgets in turns."""
    from apps.retrieval.grounding.context import with_context
    from apps.retrieval.grounding.prompt import choose_sources, tokens_of
    from apps.retrieval.grounding.sections import read_surroundings
    from apps.retrieval.search.hybrid import search_passages
    from apps.retrieval.search.nearest import encode_question
    from apps.retrieval.selectors import scope_of
    from core.config import get_settings

    scope, most = scope_of([kb]), get_settings().prompt_max_tokens
    hits = search_passages(row["question"], encode_question(row["question"]), scope, k=FOUND).hits
    passages = choose_sources(hits, max_tokens=most)
    around = read_surroundings([source.hit.passage.id for source in passages], scope)
    turns = list(seen)
    for size in turns[(number or 0) % len(turns) :] + turns[: (number or 0) % len(turns)]:
        sources = with_context(passages, around, max_tokens=min(size, most - tokens_of(passages))) if size else passages
        seen[size].tokens.append(tokens_of(sources))
        seen[size].held += any(sentence in source.said for sentence in sentences_with(row["answers"], text) for source in sources)
        if number is not None:
            write(row["question"], sources, seen[size], nonce=f"{number}-{size}")


def sentences_with(answers: Sequence[str], text: str) -> list[str]:
    """The sentences of a text that hold one of the answers."""
    from core.sentences import sentence_spans

    return [sentence for start, end in sentence_spans(text) if any(answer in (sentence := text[start:end]) for answer in answers)]


def write(question: str, sources: Any, budget: Budget, *, nonce: str) -> None:
    """Times the first token, then has the answer written and checked."""
    from apps.retrieval.grounding.prompt import messages_for
    from apps.retrieval.grounding.writing import Draft, checked_claims
    from apps.serving.generators import generator_for
    from core.protocols import GenerationRequest
    from core.types import Locale, Writing

    messages = messages_for(question, sources, Writing(bot="the desk"), Locale.EN)
    alone = ((messages[0][0], f"{nonce} {messages[0][1]}"), *messages[1:])
    began = time.perf_counter()
    for _ in generator_for().stream(GenerationRequest(messages=alone, max_tokens=1), Event()):
        pass
    budget.first_token_ms.append(1000 * (time.perf_counter() - began))
    draft: Draft[Any] = Draft(sources=tuple(sources))
    claims = [
        (claim.text, str(support.verdict)) for claim, support in checked_claims(draft, lambda: messages, Event(), what=f"bench={nonce}")
    ]
    budget.verdicts.update(verdict for _, verdict in claims)
    budget.answered += any(verdict == "supported" for _, verdict in claims)
    budget.drafts.append("\n".join(text for text, _ in claims))
    print(nonce, f"{budget.first_token_ms[-1]:.0f} ms", claims[:1], file=sys.stderr, flush=True)


def figures(seen: dict[int, Budget]) -> dict[str, dict[str, object]]:
    """What the budgets come to; `changed` is the share of drafts that differ from those of the first budget."""
    first = next(iter(seen.values()))
    return {
        str(size): {
            "prompt_tokens_mean": round(statistics.mean(one.tokens), 1),
            "answer_sentence_in_prompt": round(one.held / len(one.tokens), 4),
            "first_token_ms_median": round(statistics.median(one.first_token_ms), 1) if one.first_token_ms else None,
            "written": len(one.drafts),
            "with_a_supported_sentence": one.answered,
            "verdicts": dict(one.verdicts),
            "changed": round(sum(own != other for own, other in zip(one.drafts, first.drafts, strict=True)) / max(len(one.drafts), 1), 4),
        }
        for size, one in seen.items()
    }


def close() -> None:
    """Ends what runs in the background."""
    from apps.retrieval.indexes.registry import close_indexes
    from apps.retrieval.outbox.follower import follower
    from core.backends import close_backends

    follower().close()
    close_indexes()
    close_backends()


if __name__ == "__main__":
    main()
