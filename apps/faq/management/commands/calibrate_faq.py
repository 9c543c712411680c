"""`manage.py calibrate_faq`: fits ranking and confidence of FAQ matching to the encoder in use, and writes the packaged files."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings as django_settings
from django.core.management.base import CommandParser
from django.utils import timezone
from tokenizers import Tokenizer
from tqdm import tqdm

from apps.accounts.commands import WenluCommand
from apps.faq.calibration import Calibration, Evidence, Fit, dump_calibration
from apps.faq.fit_examples import LabelledFAQs, Shape, density_of, encode, make_shapes
from apps.faq.fitting import fit_language
from apps.retrieval.vectors.encoding import encoder
from apps.retrieval.vectors.projection_fitting import fit_projection
from apps.retrieval.vectors.token_vectors import write_projection
from core.config import get_settings
from core.errors import InvalidRequest
from core.types import FloatArray, JSONDict, Locale, Role

CHUNK = 64
INTENT_PHRASINGS, INTENT_QUESTIONS, NO_INTENT_QUESTIONS = 4, 12, 150


class Command(WenluCommand):
    """Fits and writes the calibration."""

    help = (
        "Fits how FAQs are ranked and how sure a match is, on the demo's FAQs and their held-out questions, cross-validated by FAQ, for the encoder "
        "in use. Writes apps/faq/calibrations/NAME.json and apps/retrieval/vectors/projections/NAME.npz. Run it after a change of encoder or of features."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        base = Path(django_settings.BASE_DIR)
        parser.add_argument("--demo", type=Path, default=base / "apps/dialogue/demo", help="folder of faqs_*.LOCALE.jsonl")
        parser.add_argument("--gold", type=Path, default=base / "tests/quality/demo", help="folder of gold_*.LOCALE.jsonl")
        parser.add_argument(
            "--intents",
            type=Path,
            nargs="*",
            default=[],
            metavar="FILE.jsonl",
            help="further English questions to fit on, rows {text, label}; the label `oos` is for questions without an answer",
        )
        parser.add_argument("--tokenizer", type=Path, help="tokenizer.json of the encoder, where it is not in the models folder")
        parser.add_argument("--name", help="name of the files; the encoder's by default")
        parser.add_argument("--out", type=Path, default=base / "apps", help="the apps folder to write into")

    def handle(self, *args: object, **options: Any) -> None:
        model_id = encoder().model_id
        demo = [_demo(options["demo"], options["gold"], locale) for locale in Locale]
        sets = [*demo, *(_intents(path) for path in options["intents"])]
        raw = _encode_all([text for one in sets for text in one.texts()])
        tokenizer = Tokenizer.from_file(
            str(options["tokenizer"] or get_settings().models_folder / get_settings().encoder / "tokenizer.json")
        )
        projection = fit_projection(model_id, *_named_tokens([text for one in demo for text in one.texts()], raw, tokenizer))
        encoded = {text: encode(vector, tokens, projection) for text, (vector, tokens) in raw.items()}
        typical = float(np.mean([density_of(one, encoded) for one in sets]))
        shapes = [shape for one in tqdm(sets, desc="features", disable=None) for shape in make_shapes(one, encoded, projection, typical)]
        fits, held_out = _fit_all(shapes)
        name = options["name"] or model_id.partition("@")[0]
        calibration = Calibration(encoder=model_id, fits=fits, typical_density=round(typical, 4), provenance=_provenance(shapes, held_out))
        _write(
            options["out"] / "retrieval" / "vectors" / "projections" / f"{name}.npz",
            lambda path: write_projection(path, projection),
        )
        _write(
            options["out"] / "faq" / "calibrations" / f"{name}.json",
            lambda path: path.write_text(dump_calibration(calibration), encoding="utf-8"),
        )
        for key, metrics in held_out.items():
            self.stdout.write(f"{key}: {metrics}")


def _demo(faqs: Path, gold: Path, locale: Locale) -> LabelledFAQs:
    """The demo's FAQs of one language with their gold questions; ids carry the file's part, since parts may share ids."""
    stored: dict[str, Sequence[str]] = {}
    questions: list[tuple[str, str | None]] = []
    for path in sorted(faqs.glob(f"faqs_*.{locale.value}.jsonl")):
        part = path.name.split(".")[0].removeprefix("faqs_")
        stored |= {f"{part}:{row['id']}": row["questions"] for row in _rows(path)}
        for row in _rows(gold / f"gold_{part}.{locale.value}.jsonl"):
            questions += [(row["query"], f"{part}:{row['relevant'][0]}" if row["relevant"] else None)]
    if not stored:
        raise InvalidRequest(f"No faqs_*.{locale.value}.jsonl in {faqs}.")
    return LabelledFAQs(name=f"demo {locale.value}", locale=locale, faqs=stored, questions=questions)


def _intents(path: Path) -> LabelledFAQs:
    """Intents as FAQs: a few of each label's texts are its phrasings, a few others its questions."""
    chance = random.Random(path.parent.name)
    texts: dict[str, list[str]] = {}
    for row in _rows(path):
        texts.setdefault(row["label"], []).append(row["text"])
    for label in sorted(texts):
        chance.shuffle(texts[label])
    questions: list[tuple[str, str | None]] = [(text, None) for text in texts.pop("oos", [])[:NO_INTENT_QUESTIONS]]
    end = INTENT_PHRASINGS + INTENT_QUESTIONS
    questions += [(text, label) for label in sorted(texts) for text in texts[label][INTENT_PHRASINGS:end]]
    stored = {label: texts[label][:INTENT_PHRASINGS] for label in sorted(texts)}
    return LabelledFAQs(name=path.parent.name, locale=Locale.EN, faqs=stored, questions=questions)


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def _encode_all(texts: Sequence[str]) -> dict[str, tuple[FloatArray, FloatArray]]:
    unique = sorted(dict.fromkeys(texts), key=len)
    found: dict[str, tuple[FloatArray, FloatArray]] = {}
    for start in tqdm(range(0, len(unique), CHUNK), desc="encoding", disable=None):
        part = unique[start : start + CHUNK]
        found |= dict(zip(part, encoder().encode_tokens(part, Role.QUERY), strict=True))
    return found


def _named_tokens(
    texts: Sequence[str], raw: dict[str, tuple[FloatArray, FloatArray]], tokenizer: Tokenizer
) -> tuple[list[FloatArray], list[list[str]]]:
    """Token vectors and what the tokens are, for the texts that the tokenizer cuts as the encoder did (all but odd ones)."""
    cut = [(raw[text][1], tokenizer.encode(text, add_special_tokens=False).tokens) for text in texts]
    same = [(vectors, names) for vectors, names in cut if len(vectors) == len(names)]
    if len(same) < 0.9 * len(cut):
        raise InvalidRequest("The tokenizer is not the encoder's: it cuts texts otherwise.")
    return [vectors for vectors, _ in same], [names for _, names in same]


def _fit_all(shapes: Sequence[Shape]) -> tuple[dict[Locale, dict[Evidence, Fit]], dict[str, JSONDict]]:
    fits: dict[Locale, dict[Evidence, Fit]] = {locale: {} for locale in Locale}
    held_out: dict[str, JSONDict] = {}
    for locale in Locale:
        for evidence in tqdm(list(Evidence), desc=f"fitting {locale}", disable=None):
            fits[locale][evidence], held_out[f"{locale} {evidence}"] = fit_language(shapes, locale, evidence)
    return fits, held_out


def _provenance(shapes: Sequence[Shape], held_out: dict[str, JSONDict]) -> JSONDict:
    return {
        "fitted_on": [{"set": shape.data.name, "shape": shape.name, "questions": len(shape.examples)} for shape in shapes],
        "fitted_at": timezone.now().date().isoformat(),
        "command": "manage.py calibrate_faq",
        "held_out": dict(held_out),
    }


def _write(path: Path, save: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path)
