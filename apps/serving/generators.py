"""Who writes text here, and in which order are they asked?"""

from __future__ import annotations

from core.backends import get_backend
from core.config import get_settings
from core.errors import NotFound
from core.protocols import Generator

GENERATOR = "generator"


def generator_names() -> list[str]:
    """What a generator can be asked for by: its role. Empty where none is configured."""
    return [GENERATOR] if get_settings().generator else []


def generator_for(name: str = GENERATOR) -> Generator:
    """The generator of that name. Raises NotFound where there is none."""
    if name not in generator_names():
        raise NotFound(f"No generator {name[:80]!r} is configured.", model=name[:80])
    return get_backend(get_settings().generator_backend, Generator)  # type: ignore[type-abstract]
