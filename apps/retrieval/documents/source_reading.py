"""What does a source say, if it has changed? It is known by its hash; what is new or changed is read, and what is unusable is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from apps.retrieval.documents.drafts import Draft
from apps.retrieval.documents.incoming import AnySource, BadSource, GoneSource, Source
from apps.retrieval.documents.ingest_report import IngestReport
from apps.retrieval.documents.readings import Reading
from apps.retrieval.documents.screening import mended, policy_digest
from apps.retrieval.documents.withdrawals import withdrawn_ids
from apps.retrieval.models import Document, IngestPolicy, KnowledgeBase
from apps.retrieval.parsing.recognition import PagesDone
from core.errors import Cancelled, QAError

Told = Callable[[Source, PagesDone], None]


@dataclass(slots=True)
class Taken:
    """A source that was looked at: what the report will say of it, and what is to be saved or taken back of it."""

    source: AnySource
    told: IngestReport | None = None
    reading: Reading | None = None
    draft: Draft | None = None
    is_kept_out: bool = False

    @property
    def report(self) -> IngestReport:
        """What the report will say of it."""
        self.told = self.told or IngestReport()
        return self.told

    @property
    def passages(self) -> int:
        return len(self.draft.chunked.passages) if self.draft else 0


class SourceReader:
    """Looks at the sources of one ingestion, in their order. `check` is called between the steps of one that takes long, and may raise; `told` hears how far it is."""

    def __init__(self, kb: KnowledgeBase, policy: IngestPolicy, check: Callable[[], None], told: Told) -> None:
        self._kb, self._policy, self._check, self._told = kb, policy, check, told
        self._policy_digest = policy_digest(policy)
        self._first_uses = _FirstUses()

    def count_as_used(self, source: Source) -> None:
        """Takes the id of a source that is passed over."""
        self._first_uses.is_first(source)

    def known(self, sources: Sequence[Source]) -> dict[str, str]:
        """The hashes of what the knowledge base holds of these sources, by their ids; what the policy took out is judged again each time."""
        ids = [source.id for source in sources]
        rows = Document.objects.filter(kb=self._kb, external_id__in=ids).order_by().values_list("external_id", "source_sha256")
        withdrawn = withdrawn_ids(self._kb, ids)
        return {id: sha256 for id, sha256 in rows if id not in withdrawn}

    def look_at(self, source: AnySource, known: Mapping[str, str]) -> Generator[int, None, Taken]:
        """The source with what was read of it, if it changed and can be read. Yields 0 while a source takes long."""
        if isinstance(source, BadSource):
            taken = Taken(source)
            taken.report.refuse(source.place, source.problem, source.code)
            return taken
        if isinstance(source, GoneSource):
            return Taken(source)
        source = replace(source, sha256=hashlib.sha256(f"{source.sha256}{self._policy_digest}".encode()).hexdigest())
        taken = Taken(source)
        if not self._first_uses.is_first(source):
            taken.report.refuse(source.place, f"The id {source.id!r} was there before; the first one counts.")
        elif known.get(source.id) == source.sha256:
            taken.report.unchanged += 1
        else:
            taken.reading = yield from self._read(source, taken.report)
        return taken

    def _read(self, source: Source, report: IngestReport) -> Generator[int, None, Reading | None]:
        """What a source says, None where it cannot be read."""
        try:
            reading = source.read() if source.read_in_steps is None else (yield from self._in_steps(source, source.read_in_steps()))
            return mended(reading, self._policy)
        except Cancelled:
            raise
        except QAError as error:
            code = str(error.details.get("reason") or "unusable")
            report.refuse(source.place, error.message.removeprefix(f"{source.place}: "), code)
            return None

    def _in_steps(self, source: Source, steps: Generator[PagesDone, None, Reading]) -> Generator[int, None, Reading]:
        """What a source says that may take minutes: others have their turn between its steps, and it may be cancelled there."""
        while True:
            try:
                pages = next(steps)
            except StopIteration as end:
                reading: Reading = end.value
                return reading
            self._check()
            self._told(source, pages)
            yield 0


class _FirstUses:
    """Which sources bring an id for the first time in this run; the others are refused."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def is_first(self, source: Source) -> bool:
        """Whether no source before this one had its id."""
        key = int.from_bytes(hashlib.blake2b(source.id.encode(), digest_size=8).digest())
        if key in self._seen:
            return False
        self._seen.add(key)
        return True
