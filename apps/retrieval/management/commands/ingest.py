"""`manage.py ingest --kb K PATH|URL…`: documents from files, folders, pages and sitemaps; they are searchable when it returns."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from tqdm import tqdm

from apps.accounts.commands import WenluCommand, command_caller
from apps.retrieval.documents.gone import Gone
from apps.retrieval.documents.gone_files import gone_files
from apps.retrieval.documents.incoming import Source
from apps.retrieval.documents.ingest_jobs import queue_paths
from apps.retrieval.documents.ingest_report import IngestReport, Outcome
from apps.retrieval.documents.ingesting import ingest
from apps.retrieval.documents.sources import files_below, sources_in
from apps.retrieval.models import KnowledgeBase
from apps.retrieval.outbox.verification import entries_without_vector
from apps.retrieval.parsing.recognition import PagesDone
from apps.retrieval.selectors import kb_named
from apps.retrieval.sites.addresses import is_address
from apps.retrieval.sites.page_sources import sources_at
from apps.retrieval.sites.site_jobs import queue_addresses
from apps.retrieval.sites.visiting import Visitor

_BEFORE = {Outcome.BAD: "", Outcome.DROPPED: "left out: ", Outcome.NOTED: "note: "}


class Command(WenluCommand):
    """Ingests documents. Exit status: 0 everything is in, 1 some sources were bad, 2 nothing could be used."""

    help = (
        "Reads documents from files, folders, pages of the web and sitemaps. A jsonl file holds one document a row: id, title, text, date, url, tags, category, author, "
        "language, access, status; any other file (PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, text, EPUB) is one document, and a zip archive is "
        "as many as it has files. An address (https://…) is a page or a sitemap, asked for politely and as robots.txt allows. What did not change "
        "costs one hash. Exit status 0: everything is in; "
        "1: some rows or files were bad, the others are in; 2: nothing changed."
    )
    failure_status = 2

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH|URL", help="files, folders, pages and sitemaps to read")
        parser.add_argument("--kb", required=True, help="slug of the knowledge base that takes the documents")
        parser.add_argument(
            "--background",
            action="store_true",
            help="only queue it: a server that sees the same files reads them and fetches the pages, see the panel's jobs",
        )
        parser.add_argument(
            "--gone",
            choices=[gone.value for gone in Gone],
            default=Gone.KEEP.value,
            help="what to do with the document of a page that is gone (404, 410), or of a file that its folder, read again, no longer has: "
            "keep and report it (default), archive it, or delete it; with --background of pages alone",
        )

    def handle(self, *args: object, **options: Any) -> None:
        kb = kb_named(options["kb"])
        urls = [path for path in options["paths"] if is_address(path)]
        paths = [Path(path) for path in options["paths"] if not is_address(path)]
        files, gone = files_below(paths), Gone(options["gone"])
        if options["background"]:
            self._queue(kb, paths, urls, gone)
            return
        total = sum(path.stat().st_size for path, _ in files) if not urls else None
        bar: Any
        with tqdm(total=total, unit="B", unit_scale=True, desc=kb.slug, disable=None) as bar:
            # First what is gone: a file that was renamed would be a copy of what it was.
            sources = chain(
                gone_files(kb, paths, files, gone),
                sources_in(files, grown=lambda size: _lengthen(bar, size)),
                sources_at(kb, urls, Visitor()),
            )
            report = ingest(
                kb,
                sources,
                command_caller("ingest"),
                progress=partial(_advance, bar),
                gone=gone,
                told=partial(_tell_pages, bar),
            )
        self._tell(kb, report)
        if report.bad_count:
            raise CommandError(f"{report.bad_count} documents could not be used; all others were.", returncode=1)

    def _queue(self, kb: KnowledgeBase, paths: list[Path], urls: list[str], gone: Gone) -> None:
        caller = command_caller("ingest")
        with transaction.atomic():  # where one is refused nothing is queued
            jobs = [queue_addresses(kb, urls, gone, caller)] if urls else []
            jobs += [queue_paths(kb, paths, caller)] if paths else []
        for job in jobs:
            self.stdout.write(f"Job {job.pk} is queued: {job.title}.")

    def _tell(self, kb: KnowledgeBase, report: IngestReport) -> None:
        for item in report.items:
            self.stderr.write(f"{item.place}: {_BEFORE[item.outcome]}{item.reason}")
        if unlisted := report.bad_count + report.dropped_count + report.noted_count - len(report.items):
            self.stderr.write(f"… and {unlisted} more")
        counts = f"{report.created} created, {report.updated} updated, {report.unchanged} unchanged, {report.dropped_count} left out"
        self.stdout.write(f"{counts}, {report.bad_count} bad.")
        bare = entries_without_vector(kb)
        if bare:
            self.stderr.write(
                f"{bare} passages have no vector yet and are found by their words only: run `manage.py verify_index --kb {kb.slug} --repair`."
            )


def _advance(bar: Any, size: int) -> None:
    """A piece is in."""
    if size:
        bar.set_postfix_str("", refresh=False)
        bar.update(size)


def _tell_pages(bar: Any, source: Source, pages: PagesDone) -> None:
    """A file with scanned pages takes minutes."""
    bar.set_postfix_str(f"{source.place}: {pages.done} of {pages.of} scanned pages recognised")


def _lengthen(bar: Any, size: int) -> None:
    """An archive is larger than its file."""
    if bar.total is not None:
        bar.total += size
