"""Which models there are, which of them lie on this machine, and whether they are whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.backends import load_object
from core.config import get_settings
from core.errors import ModelUnavailable

_WEIGHTS = "workers.weights"

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFolder:
    """A known model or a folder of `models_folder`; `bytes` is 0 where it is not present."""

    name: str
    role: str
    source: str
    licence: str
    present: bool
    bytes: int


def list_models() -> list[ModelFolder]:
    """The known models first, then whatever else lies in the models folder."""
    known = load_object(f"{_WEIGHTS}.KNOWN_MODELS")
    models = [
        _described(name, role=model.role, source=f"{model.package}=={model.version}", licence=model.licence)
        for name, model in known.items()
    ]
    here = get_settings().models_folder
    others = (
        sorted(path.name for path in here.iterdir() if (path / "config.json").is_file() and path.name not in known) if here.is_dir() else []
    )
    return models + [_described(name, role="", source="folder", licence="") for name in others]


def fetch_model(name: str, progress: Progress) -> Path:
    """The model's folder, filled if it is not there or damaged. Raises ModelUnavailable."""
    folder: Path = load_object(f"{_WEIGHTS}.materialise")(name, get_settings().models_folder / name, progress)
    return folder


def default_models() -> list[str]:
    """The known models that the settings name; a folder or a hub id needs no fetching."""
    return [name for name in (get_settings().encoder, get_settings().generator) if name in load_object(f"{_WEIGHTS}.KNOWN_MODELS")]


def verify_model(name: str) -> None:
    """Reads every byte of a present model. Raises ModelUnavailable where a file is missing or not what was made."""
    if not (folder := get_settings().models_folder / name).is_dir():
        raise ModelUnavailable(f"{name} is not here: run `manage.py models fetch {name}`.", model=name)
    load_object(f"{_WEIGHTS}.verify")(folder, hashes=True)


def _described(name: str, *, role: str, source: str, licence: str) -> ModelFolder:
    folder = get_settings().models_folder / name
    present = (folder / "config.json").is_file()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if present else 0
    return ModelFolder(name=name, role=role, source=source, licence=licence, present=present, bytes=size)
