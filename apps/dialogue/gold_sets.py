"""Which questions does a knowledge base have to answer? Gold sets: uploaded, kept, and asked again whenever something changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import orjson
from django.db import transaction

from apps.accounts.audit import record
from apps.accounts.permissions import Caller, Permission
from apps.dialogue.models import GoldSet
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.rows.json_faults import json_fault
from apps.retrieval.search.evaluation import LabelledSearch, parse_search
from core.config import get_settings
from core.errors import InvalidRequest, NotFound, QAError
from core.text import clean_text

MAX_ROWS = 2000
MAX_NAME_CHARS = 200
KEPT_SETS = 50


def save_gold_set(kb: KnowledgeBase, name: str, data: bytes, caller: Caller) -> GoldSet:
    """Keeps the rows of a jsonl file under a name; a set of that name is replaced. Raises InvalidRequest that names the line."""
    caller.require(Permission.EDIT, kb.pk)
    name = clean_text(name)[:MAX_NAME_CHARS]
    if not name:
        raise InvalidRequest("A gold set needs a name.", field="name")
    rows = list(parse_gold(data))
    stored = [{"query": row.query, "relevant": sorted(row.relevant)} for row in rows]
    values = {"rows": stored, "row_count": len(rows), "sha256": hashlib.sha256(data).hexdigest(), "actor": caller.name}
    with transaction.atomic():
        if GoldSet.objects.filter(kb=kb).exclude(name=name).count() >= KEPT_SETS:
            raise InvalidRequest(f"There are {KEPT_SETS} gold sets already: delete one first.", field="name")
        gold, _created = GoldSet.objects.update_or_create(kb=kb, name=name, defaults=values)
        record(caller, "save_gold_set", target=name, kb=kb.slug)
    return gold


def delete_gold_set(gold: GoldSet, caller: Caller) -> None:
    """Deletes the questions; the runs over them stay."""
    caller.require(Permission.EDIT, gold.kb_id)
    with transaction.atomic():
        record(caller, "delete_gold_set", target=gold.name, kb=gold.kb.slug)
        gold.delete()


def gold_set_named(kb: KnowledgeBase, name: str) -> GoldSet:
    """The gold set of this name. Raises NotFound that lists the names there are."""
    gold = GoldSet.objects.filter(kb=kb, name=name).first()
    if gold is None:
        known = ", ".join(GoldSet.objects.filter(kb=kb).values_list("name", flat=True)[:10])
        raise NotFound(f"No gold set {name[:80]!r} in {kb.slug}. There are: {known or 'none yet; the panel keeps them'}.")
    return gold


def parse_gold(data: bytes) -> Iterator[LabelledSearch]:
    """The rows of a jsonl file, `MAX_ROWS` at most. Raises InvalidRequest that names the line."""
    count, most_chars = 0, get_settings().max_question_chars
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        count += 1
        if count > MAX_ROWS:
            raise InvalidRequest(f"A gold set holds at most {MAX_ROWS} questions; use `manage.py evaluate` for more.", field="file")
        try:
            row = parse_search(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"Line {number}: it is not JSON: {json_fault(error)}.", field="file") from error
        except QAError as error:
            raise InvalidRequest(f"Line {number}: {error.message}", field="file") from error
        if not clean_text(row.query) or len(row.query) > most_chars:
            raise InvalidRequest(f"Line {number}: the question must have 1 to {most_chars} characters.", field="file")
        yield row
    if not count:
        raise InvalidRequest("The file holds no question.", field="file")


def searches_of(gold: GoldSet) -> list[LabelledSearch]:
    """The questions as they are evaluated."""
    return [LabelledSearch(row["query"], frozenset(row["relevant"])) for row in gold.rows]
