"""Which questions does a passage answer? Curators write them down; each one finds its passage too."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from django.db import transaction

from apps.accounts.audit import record
from apps.accounts.permissions import Caller, Permission
from apps.retrieval.documents.facts import facts_of
from apps.retrieval.documents.passages import facts_by_passage
from apps.retrieval.models import Document, KnowledgeBase, Passage, PassageQuestion
from apps.retrieval.outbox.follower import follower
from apps.retrieval.outbox.indexing import delete_entries, lock_kb, put_entries, retag_entries
from apps.retrieval.vectors.encoding import EncodedTexts, encode_in_batches
from core.errors import InvalidRequest, NotFound
from core.text import clean_text, normalize
from core.types import EntryKind, Facts

MAX_QUESTIONS = 100
MAX_QUESTION_CHARS = 500
LEAST_SHARED = 0.5
_SHINGLE = 5
_PUBLISHED = Document.Status.PUBLISHED


def parse_questions(data: object) -> list[str]:
    """The questions of a request, each once. Raises InvalidRequest."""
    if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
        raise InvalidRequest("`questions` must be a list of texts.", field="questions")
    texts = {normalize(text): text for text in map(clean_text, data) if text}
    if len(texts) > MAX_QUESTIONS or any(len(text) > MAX_QUESTION_CHARS for text in texts.values()):
        raise InvalidRequest(f"A passage takes at most {MAX_QUESTIONS} questions of {MAX_QUESTION_CHARS} characters.", field="questions")
    return list(texts.values())


def save_questions(kb: KnowledgeBase, passage: Passage, questions: Sequence[str], caller: Caller) -> None:
    """Makes these the questions of the passage; those that stay keep their vector. Findable, or gone, when it returns."""
    caller.require(Permission.EDIT, kb.pk)
    if passage.document.status == _PUBLISHED:
        caller.require(Permission.PUBLISH, kb.pk)
    encoded = encode_in_batches((EntryKind.QUESTION, text) for text in questions) if passage.document.status == _PUBLISHED else None
    with transaction.atomic():
        lock_kb(kb)
        passage = _still_there(passage, caller)
        stored = {question.text: question for question in passage.questions.all()}
        dropped = [question.pk for text, question in stored.items() if text not in questions]
        added = PassageQuestion.objects.bulk_create(
            [PassageQuestion(passage=passage, text=text) for text in questions if text not in stored]
        )
        delete_entries(kb, EntryKind.QUESTION, dropped)
        PassageQuestion.objects.filter(pk__in=dropped).delete()
        if added and passage.document.status == _PUBLISHED:
            facts = facts_of(passage.document)
            rows = [(question.pk, question.text) for question in added]
            put_entries(kb, EntryKind.QUESTION, rows, encoded, {question.pk: facts for question in added})
        record(caller, "save_questions", target=f"{passage.document.external_id}#{passage.number}", kb=kb.slug)
    follower().wake()


def _still_there(passage: Passage, caller: Caller) -> Passage:
    """The passage as it is now, that nobody changes meanwhile. Raises NotFound where its document was cut anew, Forbidden where it was published."""
    found = Passage.objects.select_related("document").filter(pk=passage.pk).first()
    if found is None:
        raise NotFound("This passage is gone: its document was changed meanwhile. Open the document again.")
    if found.document.status == _PUBLISHED:
        caller.require(Permission.PUBLISH, found.document.kb_id)
    return found


def question_texts(passages: Sequence[Passage]) -> list[tuple[EntryKind, str]]:
    """What has to be encoded where these passages become findable."""
    return [(EntryKind.QUESTION, question.text) for question in _questions(passages)]


def put_questions(kb: KnowledgeBase, passages: Sequence[Passage], encoded: EncodedTexts | None, *, retag: bool = False) -> None:
    """Makes the questions of these passages findable; with `retag` they are, and have other facts now."""
    questions = _questions(passages)
    if not questions:
        return
    of_passage = facts_by_passage(passages)
    facts = {question.pk: of_passage[question.passage_id] for question in questions}
    if retag:
        retag_entries(kb, EntryKind.QUESTION, facts)
    else:
        put_entries(kb, EntryKind.QUESTION, [(question.pk, question.text) for question in questions], encoded, facts)


def hide_questions(kb: KnowledgeBase, passages: Sequence[Passage]) -> None:
    """Takes the questions of these passages out of the indexes."""
    if questions := _questions(passages):
        delete_entries(kb, EntryKind.QUESTION, [question.pk for question in questions])


def hand_over_questions(kb: KnowledgeBase, dropped: Sequence[Passage], new: Sequence[Passage]) -> None:
    """Gives the questions of passages that go to the new passage of the same document that says most of the same; others go too."""
    questions = _questions(dropped)
    if not questions:
        return
    before = {passage.pk: passage for passage in dropped}
    heirs = _heirs([before[pk] for pk in sorted({question.passage_id for question in questions})], new)
    kept = [question for question in questions if heirs[question.passage_id]]
    gone = [question.pk for question in questions if not heirs[question.passage_id]]
    for question in kept:
        question.passage = heirs[question.passage_id]
    PassageQuestion.objects.bulk_update(kept, ["passage"])
    findable = {question.pk for question in kept if question.passage.document.status == _PUBLISHED}
    delete_entries(kb, EntryKind.QUESTION, [*gone, *(question.pk for question in kept if question.pk not in findable)])


def findable_questions(kb: KnowledgeBase, owners: Collection[int] | None = None) -> Iterator[tuple[int, str]]:
    """(id, text) of every question, or of those among `owners`, that the indexes must hold: those on passages of published documents."""
    rows = PassageQuestion.objects.filter(passage__document__kb=kb, passage__document__status=_PUBLISHED)
    some = rows if owners is None else rows.filter(pk__in=owners)
    return some.values_list("pk", "text").iterator(chunk_size=5000)


def facts_of_questions(questions: Sequence[int]) -> Mapping[int, Facts]:
    """The facts of these questions: those of their documents."""
    found = PassageQuestion.objects.filter(pk__in=questions).select_related("passage__document").defer("passage__document__text")
    return {question.pk: facts_of(question.passage.document) for question in found}


def _questions(passages: Sequence[Passage]) -> list[PassageQuestion]:
    stored = [passage.pk for passage in passages if passage.pk is not None]
    return list(PassageQuestion.objects.filter(passage__in=stored).order_by("pk")) if stored else []


def _heirs(passages: Sequence[Passage], new: Sequence[Passage]) -> dict[int, Passage | None]:
    """For each passage, by its primary key, the new one of its document that says most of the same, if it says enough."""
    documents = {passage.document_id for passage in passages}
    others = [(other, _shingles(other.text)) for other in new if other.document_id in documents]
    heirs: dict[int, Passage | None] = {}
    for passage in passages:
        shingles = _shingles(passage.text)
        shared = [(len(shingles & said) / len(shingles), other) for other, said in others if other.document_id == passage.document_id]
        best = max(shared, key=lambda pair: pair[0], default=(0.0, None))
        heirs[passage.pk] = best[1] if best[0] >= LEAST_SHARED else None
    return heirs


def _shingles(text: str) -> set[str]:
    folded = normalize(text)
    return {folded[at : at + _SHINGLE] for at in range(max(1, len(folded) - _SHINGLE + 1))}
