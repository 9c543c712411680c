"""verify_index and reindex: what they find, what they mend, and how a knowledge base changes its encoder."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakSet

import numpy as np
import pytest

from apps.faq.models import FAQQuestion
from apps.faq.rows import parse_row
from apps.faq.services import save_faqs
from apps.retrieval.indexes.registry import indexes_for
from apps.retrieval.models import Entry, EntryVector, IndexGeneration, KnowledgeBase
from apps.retrieval.outbox import rebuilding, verification
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.indexing import active_generation
from apps.retrieval.outbox.verification import find_drift, repair
from core.backends import use_backend
from core.config import get_settings
from core.metrics import INDEX_DRIFT
from core.types import EntryKind, Role, Scope
from tests.commands import run
from tests.encoders import HashingEncoder
from tests.indexed_entries import pair

pytestmark = pytest.mark.django_db
Status = IndexGeneration.Status


def nearest(kb: KnowledgeBase, encoder: HashingEncoder, text: str) -> str:
    """The phrasing that the vector index holds nearest, after following."""
    kb.refresh_from_db()
    follower().follow(kb.pk, kb.revision)
    index = indexes_for(EntryKind.FAQ).vector.made_by(encoder.model_id)
    hits = index.search(encoder.encode([text], Role.QUERY)[0], 1, Scope(kb_ids=(kb.pk,)))
    return FAQQuestion.objects.get(pk=hits[0].id).text


# verify_index


def test_verify_index_finds_nothing_where_all_is_well(filled: KnowledgeBase) -> None:
    status, out, _ = run("verify_index", "--kb", "hr")
    assert status == 0 and "faq       entries           20         0         0" in out


def drop_an_entry() -> None:
    Entry.objects.filter(text="question 3").delete()


def leave_a_stray_entry() -> None:
    FAQQuestion.objects.filter(text="question 3").delete()


def change_a_text_behind_its_back() -> None:
    Entry.objects.filter(text="question 3").update(text="something else")


def drop_a_vector() -> None:
    EntryVector.objects.filter(entry__text="question 3").delete()


def lose_words() -> None:
    _damage("lexical")


def lose_vectors() -> None:
    _damage("vector")


def _damage(place: str) -> None:
    kb = KnowledgeBase.objects.get(slug="hr")
    index = getattr(pair(), place)
    with index.exclusive(kb.pk):
        index.delete(kb.pk, sorted(index.ids(kb.pk))[:3])
        index.refresh(kb.pk, kb.revision)


def break_the_files() -> None:
    for path in (get_settings().data_dir / "indexes").rglob("state.json"):
        path.write_text("{")


@pytest.mark.parametrize(
    ("harm", "place"),
    [
        (drop_an_entry, "entries"),
        (leave_a_stray_entry, "entries"),
        (change_a_text_behind_its_back, "entries"),
        (drop_a_vector, "vectors"),
        (lose_words, "lexical"),
        (lose_vectors, "vector"),
        (break_the_files, "lexical"),
    ],
)
def test_verify_index_sees_harm_and_mends_it(harm: object, place: str, filled: KnowledgeBase) -> None:
    find_drift(filled)
    harm()  # type: ignore[operator]
    drifts = {drift.place: drift.count for drift in find_drift(filled) if drift.kind is EntryKind.FAQ}
    assert drifts[place] > 0
    assert INDEX_DRIFT.labels(kb="hr", kind="faq", index=place)._value.get() == drifts[place]
    assert run("verify_index", "--kb", "hr")[0] == 1
    assert run("verify_index", "--kb", "hr", "--repair")[0] == 0
    assert run("verify_index", "--kb", "hr")[0] == 0


class Text(str):
    """A text that is seen to go."""

    __slots__ = ("__weakref__",)


def test_a_repair_holds_a_chunk_of_what_is_missing_at_a_time(filled: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    held, most, read = WeakSet[Text](), [0], verification._content[EntryKind.FAQ]

    def watched(*asked: object) -> Iterator[tuple[int, Text]]:
        for owner, text in read(*asked):  # type: ignore[arg-type]
            held.add(shown := Text(text))
            most.append(len(held))
            yield owner, shown

    monkeypatch.setitem(verification._content, EntryKind.FAQ, watched)
    monkeypatch.setattr(verification, "MEND_CHUNK", 3)
    Entry.objects.all().delete()
    repair(filled, find_drift(filled))
    assert Entry.objects.filter(deleted=False).count() == 20
    assert max(most) <= 6


# reindex


@pytest.fixture
def other() -> HashingEncoder:
    """An encoder with other weights and another length, not yet in force."""
    return HashingEncoder("hashing@2", dim=32)


def test_reindex_switches_to_the_encoder_at_hand(filled: KnowledgeBase, encoder: HashingEncoder, other: HashingEncoder) -> None:
    assert nearest(filled, encoder, "question 7") == "question 7"
    use_backend(get_settings().encoder_backend, other)
    assert run("reindex", "--kb", "hr")[:2] == (0, "hr: generation 2 by hashing@2 is active.\n")
    assert nearest(filled, other, "question 7") == "question 7"
    assert run("verify_index", "--kb", "hr")[0] == 0


def test_rollback_goes_back_with_what_was_edited_since(
    filled: KnowledgeBase, encoder: HashingEncoder, other: HashingEncoder, admin_caller: object
) -> None:
    use_backend(get_settings().encoder_backend, other)
    run("reindex", "--kb", "hr")
    save_faqs(filled, [parse_row({"id": "new", "question": "something new", "answer": "!"})], admin_caller)  # type: ignore[arg-type]
    assert "set QA_ENCODER back first" in run("reindex", "--kb", "hr", "--rollback")[2]
    use_backend(get_settings().encoder_backend, encoder)
    assert run("reindex", "--kb", "hr", "--rollback")[1] == "hr: generation 1 by hashing@1 is active.\n"
    assert nearest(filled, encoder, "something new") == "something new"
    assert run("verify_index", "--kb", "hr")[0] == 0


def test_one_generation_before_is_kept_and_no_more(filled: KnowledgeBase) -> None:
    for _ in range(3):
        run("reindex", "--all")
    kept = list(IndexGeneration.objects.order_by("number").values_list("number", "status"))
    assert kept == [(3, Status.RETIRED), (4, Status.ACTIVE)]
    assert EntryVector.objects.count() == 40


def test_an_interrupted_reindex_goes_on_where_it_was(filled: KnowledgeBase, other: HashingEncoder) -> None:
    use_backend(get_settings().encoder_backend, other)
    begun = IndexGeneration.objects.create(kb=filled, number=2, encoder="hashing@2")
    done = Entry.objects.order_by("pk")[:15]
    for entry in done:
        EntryVector.objects.create(entry=entry, generation=begun, vector=np.ones(32, dtype="<f2").tobytes())
    run("reindex", "--kb", "hr")
    assert other.texts_encoded == 5
    assert active_generation(filled) == begun


def test_an_edit_during_reindex_is_in_the_new_generation(
    filled: KnowledgeBase, encoder: HashingEncoder, admin_caller: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = rebuilding._switch_when_full

    def edit_first(*words: object) -> None:
        rows = [
            {"id": "3", "questions": ["第3个问题", "a new wording"], "answer": "3"},
            {"id": "late", "question": "came late", "answer": "!"},
        ]
        save_faqs(filled, [parse_row(row) for row in rows], admin_caller)  # type: ignore[arg-type]
        switch(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(rebuilding, "LAST_CHUNK", 0)
    monkeypatch.setattr(rebuilding, "_switch_when_full", edit_first)
    assert run("reindex", "--kb", "hr")[0] == 0
    assert nearest(filled, encoder, "a new wording") == "a new wording"
    assert nearest(filled, encoder, "came late") == "came late"
    assert run("verify_index", "--kb", "hr")[0] == 0


def test_reindex_without_anything_to_go_back_to_says_so(filled: KnowledgeBase) -> None:
    assert "no generation to go back to" in run("reindex", "--kb", "hr", "--rollback")[2]
