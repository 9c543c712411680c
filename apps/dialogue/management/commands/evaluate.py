"""`manage.py evaluate TASK --kb K --data FILE.jsonl`: how good answers are on a set of questions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from apps.dialogue.evaluations import compare_with_previous, digest_of, missed_bounds, parse_bounds, store_run
from apps.dialogue.gold_sets import gold_set_named, searches_of
from apps.faq.evaluation import ABSTAIN_METRICS, FAQ_METRICS, evaluate_abstain, evaluate_faq, parse_labelled
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.search.evaluation import (
    READING_METRICS,
    RETRIEVAL_METRICS,
    evaluate_reading,
    evaluate_retrieval,
    parse_reading,
    parse_search,
)
from apps.retrieval.selectors import kb_named, scope_of
from apps.retrieval.vectors.encoding import encoder
from core.errors import QAError
from core.types import JSONDict, Scope

NAMED = 5  # ids that are named of those that nothing has


@dataclass(frozen=True, slots=True)
class Task:
    """How to read a row, how to evaluate many, and the metrics that this gives."""

    parse: Callable[[object], Any]
    run: Callable[[Sequence[Any], Scope], Iterator[int | JSONDict]]
    metrics: tuple[str, ...]


TASKS = {
    "faq": Task(parse_labelled, evaluate_faq, FAQ_METRICS),
    "abstain": Task(parse_labelled, evaluate_abstain, ABSTAIN_METRICS),
    "retrieval": Task(parse_search, evaluate_retrieval, RETRIEVAL_METRICS),
    "reading": Task(parse_reading, evaluate_reading, READING_METRICS),
}


class Command(BaseCommand):
    """Evaluates a knowledge base on labelled questions."""

    help = "Evaluates a knowledge base on a file of labelled questions; prints a table and writes a JSON report."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "task",
            choices=sorted(TASKS),
            help="faq: is the right FAQ first? abstain: are answers withheld where none is right? retrieval: are the right documents found? "
            "reading: does what is read out of documents hold the answer?",
        )
        parser.add_argument("--kb", required=True, help="slug of the knowledge base")
        questions = parser.add_mutually_exclusive_group(required=True)
        questions.add_argument("--gold", metavar="NAME", help="retrieval only: a gold set that the panel keeps for the knowledge base")
        questions.add_argument(
            "--data",
            type=Path,
            help='JSONL file with a row {"query", "relevant": [id, …]} a line; an empty list means no answer is right. '
            'For reading {"question", "answers": [text, …]}',
        )
        parser.add_argument("--out", type=Path, help="file for the report: {task, rows, metrics, parts, seconds}")
        parser.add_argument(
            "--at-least",
            action="append",
            default=[],
            metavar="METRIC=VALUE",
            help="exit status 1 where the metric is lower; may be repeated",
        )

    def handle(self, *args: object, **options: Any) -> None:
        began = time.monotonic()
        task = TASKS[options["task"]]
        try:
            bounds = parse_bounds(options["at_least"], task.metrics)
            kb = kb_named(options["kb"])
            scope = scope_of([kb], groups=None)
            questions = _questions(kb, task, options)
            report = self._run(task, questions.rows, scope)
        except QAError as error:
            raise CommandError(error.message) from error
        report = {"task": options["task"], "rows": len(questions.rows), **report, "seconds": round(time.monotonic() - began, 2)}
        if options["out"]:
            options["out"].write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        self._print(report)
        run = store_run(kb, report, data_name=questions.name, data_sha256=questions.sha256, encoder=encoder().model_id)
        if comparison := compare_with_previous(run):
            self.stdout.write(str(comparison))
        if missed := missed_bounds(report["metrics"], bounds):  # type: ignore[arg-type]
            raise CommandError("; ".join(missed), returncode=1)

    def _run(self, task: Task, rows: Sequence[Any], scope: Scope) -> JSONDict:
        report: JSONDict = {}
        with tqdm(total=len(rows), unit="question", disable=None) as bar:
            for step in task.run(rows, scope):
                if isinstance(step, dict):
                    report = step
                else:
                    bar.update(step - bar.n)
        return report

    def _print(self, report: JSONDict) -> None:
        columns: dict[str, Any] = {"all": report["metrics"], **report["parts"]}  # type: ignore[dict-item]
        intervals: Any = report.get("intervals", {})
        names = list(columns["all"])
        width, cell = max(map(len, names)) + 2, max(10, *(len(column) + 2 for column in columns))
        self.stdout.write(f"{report['task']}: {report['rows']} rows in {report['seconds']} s")
        if report.get("left_out"):
            self.stdout.write(f"left out: {report['left_out']} rows without a right answer (`evaluate abstain` measures them)")
        if unknown := report.get("unknown"):
            named = ", ".join(unknown[:NAMED]) + (", …" if len(unknown) > NAMED else "")  # type: ignore[arg-type, index]
            self.stdout.write(f"not in the knowledge base, and so never found: {len(unknown)} ids ({named})")  # type: ignore[arg-type]
        self.stdout.write(" " * width + "".join(f"{column:>{cell}}" for column in columns))
        for name in names:
            cells = "".join(f"{values[name]:>{cell}.4f}" if name in values else " " * cell for values in columns.values())
            within = "  95 %: {:.4f} to {:.4f}".format(*intervals[name]) if name in intervals else ""
            self.stdout.write(f"{name:<{width}}{cells}{within}")


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked, what it is called, and what tells whether two runs asked the same."""

    rows: list[Any]
    name: str
    sha256: str


def _questions(kb: KnowledgeBase, task: Task, options: dict[str, Any]) -> Questions:
    """The rows of the file or of the gold set. Raises CommandError, NotFound."""
    if options["gold"] is None:
        rows = list(_read(options["data"], task))
        if not rows:
            raise CommandError(f"There is no question in {options['data']}.")
        return Questions(rows, options["data"].name, digest_of(options["data"]))
    if task is not TASKS["retrieval"]:
        raise CommandError("--gold is for `evaluate retrieval`; give the file with --data.")
    gold = gold_set_named(kb, options["gold"])
    return Questions(searches_of(gold), gold.name, gold.sha256)


def _read(path: Path, task: Task) -> Iterator[Any]:
    """The rows of a JSONL file. Raises CommandError that names file and line."""
    if not path.is_file():
        raise CommandError(f"There is no file {path}.")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield task.parse(orjson.loads(line))
            except (orjson.JSONDecodeError, QAError) as error:
                raise CommandError(f"{path} line {number}: {getattr(error, 'message', error)}") from error
