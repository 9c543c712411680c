"""Which class stands behind a seam: loads implementations by dotted path, one instance a process."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any, TypeVar

from core.errors import ConfigurationError

T = TypeVar("T")

_instances: dict[str, object] = {}
_lock = threading.RLock()


def load_object(path: str) -> Any:
    """The class or function at `package.module.name`. Raises ConfigurationError naming the path and the reason."""
    module_name, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"Cannot load {path!r}: {error}. Check the setting that names it.", path=path) from error


def get_backend(path: str, protocol: type[T]) -> T:
    """The process-wide instance of the class at `path`, made on first use; its class takes no arguments.

    Raises ConfigurationError where the instance does not do what `protocol` asks.
    """
    with _lock:
        if path not in _instances:
            instance = load_object(path)()
            if not isinstance(instance, protocol):
                raise ConfigurationError(f"{path} is not a {protocol.__name__}: it lacks part of the protocol.", path=path)
            _instances[path] = instance
        found: Any = _instances[path]
        return found  # type: ignore[no-any-return]


def use_backend(path: str, instance: object) -> None:
    """Puts an instance in place of what `path` names: for tests, and for processes that build theirs with arguments."""
    with _lock:
        _instances[path] = instance


def close_backends() -> None:
    """Closes every instance that has a `close` and forgets all of them; at shutdown and between tests."""
    with _lock:
        for instance in _instances.values():
            close = getattr(instance, "close", None)
            if close is not None:
                close()
        _instances.clear()
