"""Which models may the caller use? A bot under its slug, a deployment under its name, a role under its own."""

from __future__ import annotations

from apps.accounts.permissions import Caller, Permission
from apps.dialogue.models import Bot
from apps.dialogue.openai.wire import ModelRow
from apps.dialogue.selectors import bot_for, may_ask
from apps.serving.generators import GENERATOR, generator_for, generator_names
from core.errors import InvalidRequest, NotFound
from core.protocols import Generator

ENCODER = "encoder"
_KINDS = {GENERATOR: "role", ENCODER: "role"}


def may_use_models(caller: Caller) -> bool:
    """Bare models are for people and keys that may ask everywhere: a key for one bot or one knowledge base has no use for them."""
    return caller.may(Permission.ASK)


def models_for(caller: Caller) -> list[ModelRow]:
    """What the caller may name as a model: bots by slug, then roles and deployments."""
    bots = [bot for bot in Bot.objects.order_by("slug").prefetch_related("kbs") if may_ask(bot, caller)]
    rows = [ModelRow(id=bot.slug, kind="bot", created_at=int(bot.created_at.timestamp())) for bot in bots]
    names = [*generator_names(), ENCODER] if may_use_models(caller) else []
    taken = set(names)
    return [row for row in rows if row.id not in taken] + [ModelRow(id=name, kind=_KINDS.get(name, "deployment")) for name in names]


def model_row(name: str, caller: Caller) -> ModelRow:
    """One row of the list. Raises NotFound for what the caller may not use."""
    row = next((row for row in models_for(caller) if row.id == name), None)
    if row is None:
        raise _no_model(name)
    return row


def chat_model_for(name: str, caller: Caller) -> Bot | Generator:
    """What answers under this name; a role or a deployment goes before a bot of the same name.

    Raises NotFound where there is nothing of that name for the caller, InvalidRequest for the encoder.
    """
    if may_use_models(caller):
        if name == ENCODER:
            raise InvalidRequest(f"`{ENCODER}` makes vectors: use POST /v1/embeddings.", field="model")
        if name in generator_names():
            return generator_for(name)
    try:
        return bot_for(name, caller)
    except NotFound as error:
        raise _no_model(name) from error


def require_encoder(name: str, caller: Caller) -> None:
    """Raises NotFound where the caller may not use a model of that name, InvalidRequest for one that is no encoder."""
    if name != ENCODER or not may_use_models(caller):
        model_row(name, caller)
        raise InvalidRequest(f"{name!r} answers questions: vectors are made by `{ENCODER}`.", field="model")


def _no_model(name: str) -> NotFound:
    if name == GENERATOR:
        return NotFound("No generator is configured here, or you may not use it; GET /v1/models lists what you may.", model=name)
    return NotFound(f"No model {name[:80]!r} for you; GET /v1/models lists those that you may use.", model=name[:80])
