"""FAQs from and to files, in the panel: upload, look at what would happen, confirm; or take away what the list shows."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from django import forms
from django.core import signing
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from apps.accounts.panel import caller_of
from apps.accounts.refusals import in_words
from apps.faq.files import FileFormat, write_rows
from apps.faq.imports import BadRow, ImportReport, import_faqs
from apps.faq.models import FAQ
from apps.faq.services import row_of
from apps.retrieval.models import LOCALE_CHOICES, KnowledgeBase
from apps.retrieval.panel.admin_bases import BaseField, offer_bases
from core.config import get_settings
from core.errors import InvalidRequest

KEPT_S = 24 * 3600
SHOWN_BAD_ROWS = 200
_SALT = "faq-import"


class ImportForm(forms.Form):
    """Which file goes into which knowledge base."""

    kb = BaseField()
    file = forms.FileField(
        label=gettext_lazy("file"), help_text=gettext_lazy("CSV, Excel (.xlsx) or JSON Lines (.jsonl)"), widget=UnfoldAdminFileFieldWidget
    )
    locale = forms.ChoiceField(
        label=gettext_lazy("language of rows that state none"), required=False, widget=UnfoldAdminSelectWidget,
        choices=[("", gettext_lazy("Recognise it")), *LOCALE_CHOICES],
    )  # fmt: skip

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer_bases(self, caller_of(request))

    def clean_file(self) -> Any:
        most = get_settings().upload_max_mb
        if self.cleaned_data["file"].size > most * 2**20:
            raise forms.ValidationError(_("The file is larger than %(most)d MiB.") % {"most": most})
        return self.cleaned_data["file"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """A file that waits for its confirmation, and what it is for."""

    kb: KnowledgeBase
    path: Path
    name: str
    locale: str


def keep_upload(form: ImportForm) -> Upload:
    """Puts the uploaded file aside, and throws away those that nobody confirmed for a day."""
    folder = _folder()
    for old in folder.iterdir():
        if time.time() - old.stat().st_mtime > KEPT_S:
            old.unlink(missing_ok=True)
    uploaded, path = form.cleaned_data["file"], folder / uuid4().hex
    with path.open("wb") as kept:
        shutil.copyfileobj(uploaded, kept)
    return Upload(kb=form.cleaned_data["kb"], path=path, name=uploaded.name, locale=form.cleaned_data["locale"])


def token_of(upload: Upload, request: HttpRequest) -> str:
    """The upload as a form can carry it, signed; good for the person who made it."""
    return signing.dumps([request.user.pk, upload.kb.pk, upload.path.name, upload.name, upload.locale], salt=_SALT)


def upload_of(token: str, request: HttpRequest) -> Upload:
    """The upload of a token. Raises InvalidRequest for a foreign one and for one whose file is gone."""
    try:
        user, kb, stored, name, locale = signing.loads(token, salt=_SALT, max_age=KEPT_S)
    except signing.BadSignature:
        user, kb, stored, name, locale = 0, 0, "", "", ""
    base = KnowledgeBase.objects.filter(pk=kb).first()
    path = _folder() / str(stored)
    if user != request.user.pk or base is None or not path.is_file():
        raise InvalidRequest(_("This upload is no longer there. Choose the file again."))
    return Upload(kb=base, path=path, name=name, locale=locale)


def read_upload(upload: Upload, request: HttpRequest, *, dry_run: bool) -> ImportReport:
    """Imports the file, or says what an import would do. A file that was imported is thrown away."""
    with upload.path.open("rb") as file:
        report = import_faqs(upload.kb, file, name=upload.name, caller=caller_of(request), locale=upload.locale or None, dry_run=dry_run)
    if not dry_run:
        upload.path.unlink(missing_ok=True)
    report.bad = [BadRow(bad.row, in_words(bad.reason)) for bad in report.bad[:SHOWN_BAD_ROWS]]
    report.notes = [in_words(note) for note in report.notes]
    return report


def _folder() -> Path:
    folder = get_settings().data_dir.resolve() / "uploads"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def export(faqs: QuerySet[FAQ], file_format: FileFormat, *, name: str) -> FileResponse:
    """The FAQs as a file to download, in the order in which they were added."""
    file = tempfile.SpooledTemporaryFile(max_size=2**20)  # noqa: SIM115 - the response closes it
    write_rows(file, file_format, (row_of(faq) for faq in faqs.order_by("pk").prefetch_related("questions").iterator(chunk_size=1000)))  # type: ignore[arg-type]
    file.seek(0)
    day = timezone.localdate().isoformat()
    return FileResponse(file, as_attachment=True, filename=f"faq-{name}-{day}.{file_format.value}")
