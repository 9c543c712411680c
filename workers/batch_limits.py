"""How much may one forward pass take, and how much may wait for it? By the settings, and by what the device gains from more."""

from __future__ import annotations

from dataclasses import dataclass

from core.config import Settings

CPU_BATCH_TOKENS = 256
CPU_MAX_PADDING = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one batcher. Tokens are padded ones: the longest text of a batch times its texts.

    `max_padding` is the share of padding to real tokens that a batch may have: cheap where a batch costs much by itself (a
    GPU), dear where its tokens do (a CPU). `max_waiting` counts each priority by itself.
    """

    max_tokens: int = 8192
    max_padding: float = 1.0
    max_waiting: int = 4096
    linger_s: float = 0.002


def limits_for(settings: Settings, *, on_cpu: bool, cpu_tokens: int = CPU_BATCH_TOKENS) -> Limits:
    """The bounds that the settings ask for. Beyond `cpu_tokens` a CPU gains nothing, and who comes next would wait for it."""
    return Limits(
        max_tokens=min(cpu_tokens, settings.batch_max_tokens) if on_cpu else settings.batch_max_tokens,
        max_padding=CPU_MAX_PADDING if on_cpu else 1.0,
        max_waiting=settings.batch_max_waiting,
        linger_s=settings.batch_linger_ms / 1000,
    )
