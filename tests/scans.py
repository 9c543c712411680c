"""Scanned PDFs: text drawn as a picture, a page each, with no text layer."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

DOTS_PER_INCH = 150
A4 = (1240, 1754)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """A page: a title above lines, in grey of 0 (black) to 255, turned by so many degrees."""

    title: str
    lines: Sequence[str]
    grey: int = 0
    turned: float = 0.0

    def image(self) -> Image.Image:
        """As a scanner takes it."""
        paper = Image.new("L", A4, 255)
        pen = ImageDraw.Draw(paper)
        pen.text((100, 100), self.title, fill=self.grey, font=_font(56))
        for number, line in enumerate(self.lines):
            pen.text((100, 220 + 56 * number), line, fill=self.grey, font=_font(30))
        return paper.rotate(self.turned, expand=True, fillcolor=255)


def scanned(*pages: Scan) -> bytes:
    """The PDF of these pages."""
    out = io.BytesIO()
    first, *others = (page.image() for page in pages)
    first.save(out, "PDF", resolution=DOTS_PER_INCH, save_all=True, append_images=others)
    return out.getvalue()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """A font of this machine that has Chinese characters."""
    named = subprocess.run(
        ["fc-match", "--format=%{file}\n%{index}", "sans:lang=zh-cn"], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    file, index = named.split("\n")
    return ImageFont.truetype(file, size, index=int(index) & 0xFFFF)
