"""Which new passage inherits the questions of one that goes, and what finding it costs."""

from __future__ import annotations

import pytest

from apps.retrieval.documents import passage_questions
from apps.retrieval.documents.passage_questions import _heirs
from apps.retrieval.models import Passage


def test_each_text_is_looked_at_once_however_many_passages_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = [
        Passage(pk=number, document_id=1, text=f"Rule {number} of the house is kept by all who live in it.") for number in range(1, 11)
    ]
    new = [Passage(document_id=1, text=f"{passage.text} It was written anew.") for passage in reversed(dropped)]
    elsewhere = [Passage(document_id=2, text=dropped[0].text)]
    read, normalize = list[str](), passage_questions.normalize
    monkeypatch.setattr(passage_questions, "normalize", lambda text: (read.append(text), normalize(text))[1])
    heirs = _heirs(dropped, [*elsewhere, *new])
    assert {pk: heir.text for pk, heir in heirs.items() if heir} == {one.pk: f"{one.text} It was written anew." for one in dropped}
    assert len(read) == 20
