"""How are the facts that a file states about itself put into form: its date, its language, its author?"""

from __future__ import annotations

import datetime
import re

_DAY = re.compile(r"(\d{4})\s*[-/.年]?\s*(\d{1,2})\s*[-/.月]?\s*(\d{1,2})")
# What programs write where nobody said who the author is. A company's own name (Microsoft, Lenovo) is not here: it may well be the author.
_PROGRAMS = (  # libraries and converters that name themselves
    "openpyxl",
    "python-docx",
    "python-pptx",
    "XlsxWriter",
    "Apache POI",
    "docx4j",
    "PptxGenJS",
    "pandoc",
    "calibre",
    "LibreOffice",
    "OpenOffice",
    "OpenOffice.org",
    "WPS Office",
)
_PLACEHOLDERS = (
    "Un-named",  # docx for JavaScript
    "Unknown Creator",  # PhpSpreadsheet and its kin
    "anonymous",  # ReportLab writes (anonymous) and (unspecified)
    "unspecified",
    "匿名",
    "佚名",
    "Unknown",  # ExcelJS, calibre
    "Unknown Author",
    "未知",
    "未知作者",
    "Author",  # the words of a form that nobody filled in
    "Author Name",
    "Your Name",
    "作者",
    "None",  # an empty value, written as text
    "null",
    "undefined",
    "N/A",
    "Microsoft Office User",  # Office and Windows set up without a name
    "Microsoft Office 用户",
    "Windows User",
    "Windows 用户",
    "微软用户",
    "User",
    "用户",
    "Administrator",  # accounts that are no person: of Windows, of Unix, of content systems such as WordPress
    "管理员",
    "系统管理员",
    "admin",
    "root",
)
_NO_AUTHORS = frozenset(name.casefold() for name in _PROGRAMS + _PLACEHOLDERS)
# When the empty files were made that python-docx 1.2 and python-pptx 1.0 begin every file with: the day of no document.
_TEMPLATES_MADE = frozenset({"2013-12-23T23:15:00Z", "2013-01-27T09:14:16Z"})
_VERSION = re.compile(r"[\s/]+v?\d[\w.\-]*$")
_LANGUAGE = re.compile(r"^([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{2,8})*$")


def stated_date(text: str) -> datetime.date | None:
    """The day in `2024-03-05T…`, `D:20240305…`, `2024年3月5日` or `2024/3/5`; None for anything else."""
    found = _DAY.search(text[:60])
    if found is None:
        return None
    try:
        return datetime.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None


def stated_creation(text: str) -> datetime.date | None:
    """The day on which an Office file says that it was made; None where that is its library's template."""
    return None if text.strip() in _TEMPLATES_MADE else stated_date(text)


def stated_language(text: str) -> str:
    """The primary tag of a language code: `zh` of `zh-Hans-CN`; empty for anything else."""
    found = _LANGUAGE.match(text.strip())
    return found[1].lower() if found is not None else ""


def stated_author(text: str) -> str:
    """Who wrote it; empty where that is the name of a program (`openpyxl 3.1.2`) or what stands where nobody was named (`Unknown`).

    Of several names, one after a semicolon each as Office writes them, those of people stay.
    """
    names = [name.strip() for name in re.split("[;；]", text)]
    people = [name for name in names if name and _without_version(name.strip("()[]<>（） ")).casefold() not in _NO_AUTHORS]
    return text if len(people) == len(names) else "; ".join(people)


def _without_version(name: str) -> str:
    return _VERSION.sub("", name)
