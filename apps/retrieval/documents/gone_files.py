"""Which documents came from files that are no longer there? Those of a folder that is read again, whose file it has no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from apps.retrieval.documents.gone import Gone
from apps.retrieval.documents.incoming import GoneSource
from apps.retrieval.documents.sources import file_id
from apps.retrieval.models import Document, KnowledgeBase

_PROBLEM = "There is no such file any more."


def gone_files(kb: KnowledgeBase, paths: Iterable[Path], files: Sequence[tuple[Path, str]], gone: Gone) -> Iterator[GoneSource]:
    """What folders among `paths` no longer have, of which `files` (path, name) is all that they hold now.

    Where the documents are kept it is told once, by the first of them: a folder that holds only what changed would name all the others.
    What lies in an archive that is there stays, and so do rows of jsonl files and files below a folder of an odd name, whose ids tell no folder.
    """
    found = (_gone(id) for id in _ids_of_missing(kb, paths, files, gone))
    if gone is not Gone.KEEP:
        yield from found
    elif first := next(found, None):
        more = sum(1 for _ in found)
        yield replace(first, place=f"{first.place} and {more} more" if more else first.place)


def _gone(id: str) -> GoneSource:
    return GoneSource(place=id, id=id, problem=_PROBLEM)


def _ids_of_missing(kb: KnowledgeBase, paths: Iterable[Path], files: Sequence[tuple[Path, str]], gone: Gone) -> list[str]:
    there = {file_id(name) for _path, name in files}
    missing: dict[str, None] = {}
    roots = dict.fromkeys(path.resolve().name for path in paths if path.is_dir())
    for root in (root for root in roots if root and file_id(root) == root):
        documents = Document.objects.filter(kb=kb, external_id__startswith=f"{root}/").exclude(media_type="")
        if gone is not Gone.DELETE:
            documents = documents.exclude(status=Document.Status.ARCHIVED)
        ids = documents.order_by("external_id").values_list("external_id", flat=True).iterator()
        below = (id for id in ids if id.startswith(f"{root}/"))  # SQLite's LIKE takes PAGES/ for pages/
        missing |= {id: None for id in below if there.isdisjoint((id, *map(str, PurePosixPath(id).parents)))}
    return list(missing)
