"""What every file format of FAQs shares: what its columns are called, and how a row fills them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from django.utils import timezone

from apps.faq.rows import COLUMNS, FAQRow
from apps.retrieval.rows.raw_rows import Found, unusable

MAX_RECORD_CHARS = 600_000  # 200 phrasings of 2,000 characters and an answer of 100,000
MAX_COLUMNS = 64
READABLE = ("question", *COLUMNS)
ALIASES = {
    "编号": "id", "问题": "question", "标准问题": "question", "问法": "questions", "相似问法": "questions", "答案": "answer", "回答": "answer",
    "分类": "category", "类别": "category", "语言": "locale", "状态": "status", "生效时间": "valid_from", "失效时间": "valid_until",
}  # fmt: skip


def name_columns(header: Sequence[object], found: Found) -> list[str | None]:
    """What each column is, None for those that are not ours. Raises InvalidRequest where a needed one is missing."""
    titles = ["" if title is None else str(title).strip() for title in header]
    columns = [ALIASES.get(title, name if (name := re.sub(r"[\s-]+", "_", title.lower())) in READABLE else None) for title in titles]
    known = [column for column in columns if column]
    twice = sorted({column for column in known if known.count(column) > 1})
    if twice:
        raise unusable(f"the column {twice[0]} is there twice")
    missing = [
        name
        for name, there in (("question (or questions)", {"question", "questions"} & set(known)), ("answer", "answer" in known))
        if not there
    ]
    if missing:
        seen = ", ".join(title[:40] for title in titles[:12] if title) or "nothing"
        raise unusable(f"its first row must name the columns, but {' and '.join(missing)} is missing; it reads: {seen}")
    found.ignored |= {title[:40] for title, column in zip(titles, columns, strict=True) if title and column is None}
    return columns


def cells_of(row: FAQRow) -> list[str]:
    """The row as spreadsheet cells in the order of COLUMNS: one phrasing a line, dates in the server's zone."""
    moments = ["" if moment is None else timezone.localtime(moment).isoformat() for moment in (row.valid_from, row.valid_until)]
    return [row.id or "", "\n".join(row.questions), row.answer, row.category, row.locale or "", *moments, row.status or ""]
