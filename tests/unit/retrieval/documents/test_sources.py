"""When is a file read once more? When its content changed, or what is read of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.retrieval.documents import sources
from apps.retrieval.documents.incoming import Source


@pytest.fixture(autouse=True)
def with_the_ocr_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "can_recognise", lambda: True)


def digest_of(path: Path) -> str:
    """What a stored document is compared by."""
    path.write_bytes(b"%PDF-1.7 of two pages")
    (source,) = sources.sources_in([(path, path.name)])
    assert isinstance(source, Source)
    return source.sha256


def test_a_pdf_is_read_once_more_where_more_of_its_scanned_pages_may_be_recognised(tmp_path: Path, configure: Callable[..., None]) -> None:
    """As the report advises: “raise QA_OCR_PAGES and send it again”."""
    before = digest_of(tmp_path / "scan.pdf")
    assert digest_of(tmp_path / "scan.pdf") == before
    configure(ocr_pages=600)
    more_pages = digest_of(tmp_path / "scan.pdf")
    configure(ocr_pages=600, ocr_seconds=1800)
    assert len({before, more_pages, digest_of(tmp_path / "scan.pdf")}) == 3


def test_other_files_are_not_read_once_more_for_what_is_recognised(tmp_path: Path, configure: Callable[..., None]) -> None:
    before = digest_of(tmp_path / "page.html")
    configure(ocr_pages=600)
    assert digest_of(tmp_path / "page.html") == before
