"""How do measures between 0 and 1 look over time? Coordinates of lines for an SVG, nothing drawn here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _FOOT, _HEAD = 1040, 210, 56, 24, 22, 12


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One measurement: the value of each line that has one, what stands below it, what a reader who points at it is told, where it leads."""

    values: Mapping[str, float]
    label: str
    title: str
    url: str


def draw_lines(points: Sequence[RunPoint], names: Sequence[str]) -> dict[str, object]:
    """The lines of these names over the points, oldest first, as SVG paths with dots; the axis begins a little below the least value."""
    values = [value for point in points for value in point.values.values()]
    least = max(0.0, math.floor(min(values, default=0.0) * 10 - 0.5) / 10)
    floor, unit = _HEIGHT - _FOOT, (_HEIGHT - _FOOT - _HEAD) / (1 - least)
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(points) - 1)
    places = [_LEFT + 16 + number * step * (1 - 32 / (_WIDTH - _LEFT - _RIGHT)) for number in range(len(points))]

    def y(value: float) -> float:
        return floor - (value - least) * unit

    lines = []
    for number, name in enumerate(names):
        dots = [(x, y(point.values[name])) for x, point in zip(places, points, strict=True) if name in point.values]
        path = " ".join(f"{'L' if place else 'M'}{x:.1f} {at:.1f}" for place, (x, at) in enumerate(dots))
        lines.append({"number": number, "name": name, "path": path, "dots": [{"x": f"{x:.1f}", "y": f"{at:.1f}"} for x, at in dots]})
    every = max(1, len(points) // 10)
    labels = [
        {"x": f"{x:.1f}", "label": point.label if (len(points) - 1 - number) % every == 0 else "", "title": point.title, "url": point.url}
        for number, (x, point) in enumerate(zip(places, points, strict=True))
    ]
    grid = [{"label": f"{value:.2f}", "y": f"{y(value):.1f}", "text_y": f"{y(value) + 4:.1f}"} for value in (least, (1 + least) / 2, 1.0)]
    size = {"width": _WIDTH, "height": _HEIGHT, "left": _LEFT, "label_x": _LEFT - 8, "text_y": _HEIGHT - 5, "slot": f"{min(step, 60):.1f}"}
    return {**size, "half_slot": f"{min(step, 60) / 2:.1f}", "lines": lines, "points": labels, "grid": grid}
