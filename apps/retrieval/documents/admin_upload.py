"""Files for a knowledge base, in the panel: several at once, with their limits told before, read in the background."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.panel import caller_of
from apps.retrieval.documents.ingest_jobs import queue_files
from apps.retrieval.panel.admin_bases import BaseField, offer_bases
from apps.serving.jobs.files import MAX_FILES
from apps.serving.models import Job
from core.config import get_settings

FORMATS = ("PDF", "DOCX", "PPTX", "XLSX", "CSV", "HTML", "Markdown", "TXT", "EPUB", "JSONL", "ZIP")


class ManyFilesInput(forms.ClearableFileInput):
    """A field for several files, drawn by the page itself."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """All files that were chosen, each within the limits. Together they are one request, which the server has bounded before they come here."""

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile]:
        files = [super(ManyFilesField, self).clean(one, initial) for one in (data if isinstance(data, list | tuple) else [data])]
        most = most_mb()
        for file in files:
            if file.size > most * 2**20:
                raise forms.ValidationError(_("%(name)s is larger than %(most)d MiB.") % {"name": file.name, "most": most})
        if len(files) > MAX_FILES:
            raise forms.ValidationError(_("At most %(most)d files at once; pack them into a zip archive.") % {"most": MAX_FILES})
        return files


class UploadForm(forms.Form):
    """Which files go into which knowledge base."""

    kb = BaseField()
    files = ManyFilesField(label=gettext_lazy("files"), widget=ManyFilesInput, allow_empty_file=True)

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer_bases(self, caller_of(request))


def queue_upload(form: UploadForm, request: HttpRequest) -> Job:
    """Queues a job that reads the files of the form. Raises QAError."""
    files = [(file.name, file) for file in form.cleaned_data["files"]]
    return queue_files(form.cleaned_data["kb"], files, caller_of(request))


def most_mb() -> int:
    """The largest file that can be sent here and is read, in MiB."""
    settings = get_settings()
    return min(settings.parse_max_file_mb, settings.upload_max_mb)


def limits() -> dict[str, Any]:
    """What the page says before anything is chosen."""
    return {"formats": FORMATS, "most_mb": most_mb(), "most_sum_mb": get_settings().upload_max_mb, "most_files": MAX_FILES}
