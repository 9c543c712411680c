"""What does a picture of a page say? By RapidOCR (PP-OCR models, on the CPU), in the reading process, where the `ocr` extra is installed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2

from apps.retrieval.parsing.page_lines import Line, join_boxes
from apps.retrieval.parsing.refusal import ParseLimits, Reason, UnreadableFile

DOTS_PER_INCH = 200
# Pages are drawn with at most this many dots a side; the detector enlarges pictures with fewer than this on the shorter one, so these get a margin.
MAX_SIDE, MIN_SIDE = 2_000, 736
MIN_CONFIDENCE = 0.6
# Of the time that a process has, pages are begun during this share; the last one has the rest.
TIME_SHARE = 1 / 3
# A box this many times as tall as wide is a line that stands upright.
TALL = 1.5
# Scans lie a little askew; what rises more is no line.
MAX_SLOPE = 0.3
# Boxes of lines in one size differ by this share, with the letters that are in them.
SAME_SIZE = 0.3
_POINTS_PER_INCH = 72


def recognise_pages(path: Path, pages: Sequence[int], limits: ParseLimits) -> dict[int, list[Line]]:
    """The lines of the first of these pages (from 1), as many as time allows, one at least. Raises UnreadableFile where that one cannot be recognised."""
    began = time.monotonic()
    document = pypdfium2.PdfDocument(path)
    found: dict[int, list[Line]] = {}
    for number in pages:
        try:
            page = document[number - 1]
            found[number] = recognise_page(page)
            page.close()
        except UnreadableFile:
            if not found:
                raise
            break
        if time.process_time() > limits.cpu_s * TIME_SHARE or time.monotonic() - began > limits.wall_s * TIME_SHARE:
            break
    return found


def recognise_page(page: pypdfium2.PdfPage) -> list[Line]:
    """The lines of a scanned page as a reader who turns it upright sees them, top to bottom; corners in points of the upright page."""
    engine = _engine()
    try:
        scale = _scale(*page.get_size())
        corners, texts, size = _read(engine, _with_margin(page.render(scale=scale).to_numpy()))
    except Exception as error:  # ONNX Runtime, OpenCV and PDFium raise types of their own where memory ends
        raise UnreadableFile(Reason.TOO_MUCH_MEMORY, f"its scanned pages could not be recognised ({type(error).__name__})") from error
    lines = []
    for box, (text, confidence) in zip(corners, texts, strict=True):
        if float(confidence) >= MIN_CONFIDENCE and text.strip():
            (left, top), (right, bottom) = box.min(axis=0) / scale, box.max(axis=0) / scale
            lines.append(Line(text.strip(), float(left), float(size[1] / scale - bottom), float(right), float(size[1] / scale - top)))
    return join_boxes(_evened(lines))


def _evened(lines: list[Line]) -> list[Line]:
    """The lines with heights that tell something: those about as high as the median line are as high as that, around their middles."""
    median = float(np.median([line.size for line in lines])) if lines else 0.0
    return [
        replace(line, bottom=(line.bottom + line.top - median) / 2, top=(line.bottom + line.top + median) / 2)
        if abs(line.size - median) <= SAME_SIZE * median
        else line
        for line in lines
    ]


def _scale(width: float, height: float) -> float:
    """Dots a point."""
    return min(DOTS_PER_INCH / _POINTS_PER_INCH, MAX_SIDE / max(1.0, width, height))


def _with_margin(image: np.ndarray) -> np.ndarray:
    """The picture, with white to its right and below where it is narrow or low."""
    height, width = image.shape[:2]
    missing = max(0, MIN_SIDE - height), max(0, MIN_SIDE - width)
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), constant_values=255) if any(missing) else image


def _read(engine: Any, image: np.ndarray) -> tuple[np.ndarray, list[tuple[str, float]], np.ndarray]:
    """Boxes (float[n, 4, 2], x and y in dots of the upright image), their texts with confidences, and that image's width and height."""
    crops, corners = _detect(engine, image)
    if _stands_on_its_side(corners):
        image = np.ascontiguousarray(np.rot90(image))
        crops, corners = _detect(engine, image)
    size = np.array(image.shape[1::-1], dtype=np.float32)
    if not crops:
        return corners, [], size
    _, judged = engine.cls_and_rotate(crops)
    turned = sum("180" in label for label, _ in judged.cls_res)
    if turned * 2 > len(crops):  # the page is upside down, also where a single line looks upright
        crops, corners = [np.ascontiguousarray(crop[::-1, ::-1]) for crop in crops], size - corners
    read = engine.recognize_txt(crops)
    return _levelled(corners), list(zip(read.txts, read.scores, strict=True)), size


def _detect(engine: Any, image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The lines as pictures, and their corners (float[n, 4, 2])."""
    from rapidocr.main import RapidOCRError

    try:
        crops, found = engine.detect_and_crop(image, {})
    except RapidOCRError:  # nothing was found
        return [], np.zeros((0, 4, 2), dtype=np.float32)
    return crops, np.asarray(found.boxes, dtype=np.float32)


def _stands_on_its_side(corners: np.ndarray) -> bool:
    """Whether most lines stand upright, by their lengths."""
    sides = np.ptp(corners, axis=1)
    tall = sides[:, 1] > TALL * sides[:, 0]
    lengths = sides.max(axis=1, initial=0)
    return bool(lengths[tall].sum() * 2 > lengths.sum())


def _levelled(corners: np.ndarray) -> np.ndarray:
    """The corners turned about the origin so that half of the lines rise and half of them fall, as a page that lay straight."""
    along = corners[:, 1] - corners[:, 0]
    slope = float(np.median(along[:, 1] / np.where(along[:, 0] == 0, np.inf, along[:, 0])))
    angle = np.arctan(slope) if abs(slope) < MAX_SLOPE else 0.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return corners @ turn


@cache
def _engine() -> Any:
    try:
        import cv2
        from rapidocr import RapidOCR
    except ImportError as error:
        raise UnreadableFile(Reason.SCANNED, f"its scanned pages need the `ocr` extra, which cannot be started ({error})") from error
    cv2.setNumThreads(1)
    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    return RapidOCR(params={**threads, "Global.use_vertical_padding": False, "Global.log_level": "critical"})
