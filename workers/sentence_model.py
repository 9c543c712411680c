"""What a sentence-encoder folder says about itself: architecture, pooling, prompts, length; the facts in its JSON files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import ConfigurationError, ModelUnavailable
from core.types import JSONDict, JSONValue, Role

_KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}
_POOLING_FLAGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "lasttoken": "pooling_mode_lasttoken"}
_DEFAULT_MAX_TOKENS = 512


class Pooling(StrEnum):
    """How token vectors become one vector."""

    MEAN = "mean"
    CLS = "cls"
    LAST = "lasttoken"


@dataclass(frozen=True, kw_only=True, slots=True)
class SentenceModel:
    """The description of one folder. `config` is its config.json; `max_tokens` counts special tokens and prefix too."""

    folder: Path
    config: JSONDict
    pooling: Pooling
    max_tokens: int
    prefixes: dict[Role, str]

    @property
    def name(self) -> str:
        """The folder's name, for ids and messages."""
        return self.folder.name


def read_sentence_model(folder: Path, *, query_prefix: str | None = None, passage_prefix: str | None = None) -> SentenceModel:
    """The description of `folder`; prefixes given here win over its own.

    Raises ModelUnavailable where it has no config.json, ConfigurationError where it needs a step that is not run here.
    """
    if not (folder / "config.json").is_file():
        raise ModelUnavailable(f"{folder} is not a model folder: it has no config.json.", folder=str(folder))
    config = read_json(folder / "config.json")
    _refuse_unknown_modules(folder)
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts")
    own = prompts if isinstance(prompts, dict) else {}
    passage = own.get("passage", own.get("document", ""))
    return SentenceModel(
        folder=folder,
        config=config,
        pooling=_pooling(folder),
        max_tokens=max_tokens(folder, config),
        prefixes={
            Role.QUERY: str(own.get("query", "")) if query_prefix is None else query_prefix,
            Role.PASSAGE: str(passage) if passage_prefix is None else passage_prefix,
        },
    )


def read_json(path: Path) -> JSONDict:
    """The JSON object in `path`; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelUnavailable(f"{path} is not JSON: {error}.") from error
    return content if isinstance(content, dict) else {}


def _refuse_unknown_modules(folder: Path) -> None:
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    unknown = sorted({str(module["type"]) for module in modules if str(module["type"]).rpartition(".")[2] not in _KNOWN_MODULES})
    if unknown:
        raise ConfigurationError(f"The encoder {folder.name} needs {', '.join(unknown)} after pooling, which is not supported.")


def _pooling(folder: Path) -> Pooling:
    config = read_json(folder / "1_Pooling" / "config.json")
    named = config.get("pooling_mode")
    chosen = [named] if isinstance(named, str) else [name for name, flag in _POOLING_FLAGS.items() if config.get(flag)]
    if not config:
        return Pooling.MEAN
    if len(chosen) != 1 or chosen[0] not in _POOLING_FLAGS:
        raise ConfigurationError(
            f"The encoder {folder.name} pools in a way that is not supported; supported are {', '.join(_POOLING_FLAGS)}."
        )
    return Pooling(str(chosen[0]))


def max_tokens(folder: Path, config: JSONDict) -> int:
    """The least of what sentence-transformers, the tokenizer and the position table allow."""
    positions = _number(config.get("max_position_embeddings"))
    if positions and config.get("model_type") in ("xlm-roberta", "roberta"):
        positions -= _number(config.get("pad_token_id"), 1) + 1
    wanted = _number(read_json(folder / "sentence_bert_config.json").get("max_seq_length"))
    tokenizer = _number(read_json(folder / "tokenizer_config.json").get("model_max_length"))
    return min((limit for limit in (wanted, tokenizer, positions) if limit > 0), default=_DEFAULT_MAX_TOKENS)


def _number(value: JSONValue, default: int = 0) -> int:
    return int(value) if isinstance(value, int | float) else default
