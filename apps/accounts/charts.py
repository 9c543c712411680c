"""How do numbers of days look as stacked bars? Coordinates for an SVG, nothing drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _FOOT, _HEAD = 1040, 210, 56, 14, 22, 12


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day: its values from the bottom up, and what a reader who points at it is told."""

    day: date
    values: tuple[float, ...]
    title: str


def stack_bars(days: Sequence[DayBar]) -> dict[str, object]:
    """The chart of days that all have the same number of values: bars with their pieces, lines of the axis, sizes in pixels."""
    top = _round_up(max((sum(day.values) for day in days), default=0.0))
    floor, slot = _HEIGHT - _FOOT, (_WIDTH - _LEFT - _RIGHT) / max(1, len(days))
    unit, every = (floor - _HEAD) / top, max(1, len(days) // 10)
    bars = []
    for place, day in enumerate(days):
        x, y, pieces = _LEFT + place * slot, float(floor), []
        for number, value in enumerate(day.values):
            y -= value * unit
            pieces.append({"number": number, "y": _pixels(y), "height": _pixels(value * unit)})
        label = f"{day.day.month}/{day.day.day}" if (len(days) - 1 - place) % every == 0 else ""
        at = {"slot_x": _pixels(x), "slot_width": _pixels(slot), "x": _pixels(x + slot * 0.2), "width": _pixels(slot * 0.6)}
        bars.append({**at, "middle": _pixels(x + slot / 2), "pieces": pieces, "title": day.title, "label": label})
    lines = [
        {"label": _short(value), "y": _pixels(floor - value * unit), "text_y": _pixels(floor - value * unit + 4)}
        for value in (0, top / 2, top)
    ]
    return {"width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "label_x": _LEFT - 8, "text_y": _HEIGHT - 5, "bars": bars, "lines": lines}


def _round_up(value: float) -> int:
    """An even number at the end of an axis that holds `value`: 2, 4, 10, 20, 40, 100 …"""
    step = 1
    while True:
        for end in (2 * step, 4 * step, 10 * step):
            if value <= end:
                return end
        step *= 10


def _short(value: float) -> str:
    """A number of the axis: 5, 2,500, 40k, 1.5M."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e4 else f"{value:,.0f}"


def _pixels(value: float) -> str:
    """A coordinate as SVG reads it, whatever decimal mark the page's language has."""
    return f"{value:.1f}"
