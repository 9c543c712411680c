"""How does a failure travel between web and worker? As its code, message and details; it arrives as an error of the same class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core import errors
from core.errors import InferenceFailed, QAError
from core.types import JSONDict


def error_as_dict(error: QAError) -> JSONDict:
    """A call's failure as JSON."""
    details: JSONDict = {name: list(value) if isinstance(value, list) else value for name, value in error.details.items()}
    return {"error": {"code": error.code, "message": error.message, "details": details}}


def error_from_dict(failure: Mapping[str, Any]) -> QAError:
    """The error as the class of its code; a code that no class has is an InferenceFailed."""
    return _CLASSES.get(failure["code"], InferenceFailed)(failure["message"], **failure["details"])


def _by_code(base: type[QAError]) -> dict[str, type[QAError]]:
    found = {base.code: base}
    for cls in base.__subclasses__():
        if cls.__module__ == errors.__name__:
            found |= _by_code(cls)
    return found


_CLASSES = _by_code(QAError)
