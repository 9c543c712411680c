"""Are questions about tables and lists answered with the right row, and is it readable?

    python bench/tables.py [--list tables_unseen] [--format docx] [--verbose] [--out FILE]

Writes the invented documents of a list in tests/quality/tables as files, each in its own format or all in one, ingests them as
anybody would, and asks the questions of the `passage` skill. `tables` and `lists` were looked at while rows were made readable;
`tables_unseen` was written with them, and asked at the end; so were `columns` and `columns_unseen`, about headers of two lines and
columns that a table does not have. Right is an answer that holds what the question's row says (its key
and its value), `named` if it also holds the name of the value's column somewhere, and `told` if that stands before the value; `shown` counts the rows and sentences of an answer, and
`exact` says that every mark of every source is word for word in the answer and at its place in the document.
The model is that of the installation (`QA_MODEL_DIR`, else `models` in its data folder).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LISTS = ROOT / "tests" / "quality" / "tables"
KB = "tables"


def set_up_django(folder: str) -> None:
    """A data folder of its own with an empty database, and the models of the installation."""
    os.environ.setdefault("QA_MODEL_DIR", str(Path(os.environ.get("QA_DATA_DIR") or ROOT / "var") / "models"))
    os.environ["QA_DATA_DIR"] = folder
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def load(documents: Sequence[Mapping[str, Any]], folder: Path, format: str) -> None:
    """The documents as files, ingested into a knowledge base and published."""
    from apps.accounts.commands import command_caller
    from apps.retrieval.documents.ingesting import ingest
    from apps.retrieval.documents.sources import files_below, sources_in
    from apps.retrieval.services import create_kb
    from bench.table_files import write_document
    from core.types import Locale

    kb = create_kb(slug=KB, name=KB, locale=Locale.ZH, caller=command_caller("bench"))
    paths = [write_document(document, folder, format=format or document["format"]) for document in documents]
    report = ingest(kb, sources_in(files_below(paths)), command_caller("ingest"))
    if report.bad_count:
        sys.exit(f"bench: {report.bad_count} files could not be read.")


def ask(row: Mapping[str, Any]) -> dict[str, Any]:
    """How one question is answered."""
    from apps.retrieval.models import KnowledgeBase
    from apps.retrieval.search.nearest import encode_question
    from apps.retrieval.selectors import scope_of
    from apps.retrieval.skill import Found, PassageSkill, answer_of, sources_of
    from core.text import guess_locale, normalize
    from core.types import Query

    text = row["question"]
    scope = scope_of([KnowledgeBase.objects.get(slug=KB)])
    query = Query(text=text, normalized=normalize(text), locale=guess_locale(text), scope=scope, turn="t", encoded=encode_question(text))
    found = PassageSkill().match(query)
    if found is None:
        return {
            **row,
            "answered": False,
            "answer": "",
            "confidence": 0.0,
            "right": False,
            "named": False,
            "told": False,
            "shown": 0,
            "exact": True,
        }
    assert isinstance(found.payload, Found)
    reading = found.payload.reading
    answer = answer_of(reading)
    right = bool(row["holds"]) and all(one in answer for one in row["holds"])
    return {
        **row,
        "answered": found.accepted,
        "confidence": round(found.confidence, 3),
        "answer": answer,
        "right": right,
        "named": right and row.get("label", "") in answer,
        "told": right and any(f"{row['label']}{colon}{row['holds'][-1]}" in answer for colon in (": ", "：")),
        "shown": len(reading.sentences),
        "exact": all(is_exact(source, answer) for source in sources_of(reading)),
    }


def is_exact(source: Any, answer: str) -> bool:
    """Whether the source stands at its place in the document, and each of its marks in the answer."""
    from apps.retrieval.models import Document

    text = Document.objects.get(external_id=source.document).text
    return text[source.start : source.end] == source.text and all(source.text[start:end] in answer for start, end in source.marks)


def figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """What the answers come to."""
    there, absent = [row for row in rows if row["holds"]], [row for row in rows if not row["holds"]]
    return {
        "there": len(there),
        "answered": sum(row["answered"] for row in there),
        "right": sum(row["right"] for row in there),
        "named": sum(row["named"] for row in there),
        "told": sum(row["told"] for row in there),
        "answered_and_right": sum(row["right"] and row["answered"] for row in there),
        "answered_and_told": sum(row["told"] and row["answered"] for row in there),
        "answered_wrongly": sum(row["answered"] and not row["right"] for row in there),
        "shown_of_each": round(sum(row["shown"] for row in there) / max(len(there), 1), 2),
        "absent": len(absent),
        "absent_answered": sum(row["answered"] for row in absent),
        "exact": all(row["exact"] for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--list", default="tables", help="which questions are asked")
    parser.add_argument("--format", default="", help="write all documents in this format: md, txt, html, docx, xlsx, csv, pdf")
    parser.add_argument("--verbose", action="store_true", help="print each question with its answer")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wenlu-bench-") as folder, tempfile.TemporaryDirectory(prefix="wenlu-bench-") as files:
        set_up_django(folder)
        content = json.loads((LISTS / f"{options.list}.json").read_text(encoding="utf-8"))
        load(content["documents"], Path(files), options.format)
        rows = [ask(row) for row in content["questions"]]
        if options.verbose:
            for row in rows:
                told = "right" if row["right"] else "WRONG" if row["holds"] else "absent"
                print(
                    f"{told}{'+told' if row['told'] else ''} {'answered' if row['answered'] else 'silent'} {row['confidence']} {row['question']}"
                )
                print(*(f"      {line}" for line in row["answer"].split("\n")), sep="\n")
        result = {"list": options.list, "format": options.format, **figures(rows), "answers": rows}
        print(json.dumps({name: value for name, value in result.items() if name != "answers"}, ensure_ascii=False))
        if options.out:
            options.out.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        _close()


def _close() -> None:
    """Ends what runs in the background."""
    from apps.retrieval.indexes.registry import close_indexes
    from apps.retrieval.outbox.follower import follower
    from core.backends import close_backends

    follower().close()
    close_indexes()
    close_backends()


if __name__ == "__main__":
    main()
