"""What does a picture of a page say? By RapidOCR (PP-OCR models, on the CPU), where the `ocr` extra is installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import pypdfium2

from apps.retrieval.parsing.page_lines import Line, join_boxes
from apps.retrieval.parsing.refusal import Reason, UnreadableFile

DOTS_PER_INCH = 200
MAX_PIXELS = 12_000_000
MIN_CONFIDENCE = 0.6
_POINTS_PER_INCH = 72


@cache
def can_recognise() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("rapidocr_onnxruntime") is not None


def recognise_page(page: pypdfium2.PdfPage) -> list[Line]:
    """The lines of a scanned page, top to bottom. A page larger than A3 is drawn with fewer dots.

    The models need 2,048 MiB of address space (`QA_PARSE_MEMORY_MB`); raises UnreadableFile where there is less.
    """
    width, height = page.get_size()
    scale = min(DOTS_PER_INCH / _POINTS_PER_INCH, (MAX_PIXELS / max(1.0, width * height)) ** 0.5)
    try:
        found, _ = _engine()(page.render(scale=scale).to_numpy())
    except Exception as error:  # ONNX Runtime and OpenCV raise types of their own where memory ends
        raise UnreadableFile(Reason.TOO_MUCH_MEMORY, f"its scanned pages could not be recognised ({type(error).__name__})") from error
    lines = []
    for corners, text, confidence in found or ():
        if float(confidence) >= MIN_CONFIDENCE:
            xs, ys = [x / scale for x, _ in corners], [height - y / scale for _, y in corners]
            lines.append(Line(text, min(xs), min(ys), max(xs), max(ys)))
    return join_boxes(lines)


@cache
def _engine() -> Any:
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
