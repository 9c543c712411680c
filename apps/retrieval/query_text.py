"""What do the words of a question become before the lexical index is asked? The one place where the query may be rewritten."""

from __future__ import annotations

from core.text import clean_text
from core.types import Scope


def lexical_text(text: str, scope: Scope) -> str:
    """The text that the lexical index is searched with, for the knowledge bases of the scope. Vectors see the text as it was asked."""
    return clean_text(text)
