"""Calibrations: what is packaged is whole, what is unknown falls back, and the fitting finds what it should."""

import json
import random

import numpy as np
import pytest

from apps.faq.calibration import Evidence, dump_calibration, fallback, load_calibration, parse_calibration
from apps.faq.features import PAIR_FEATURES, Asked, Candidate
from apps.faq.fit_examples import Example, LabelledFAQs, Shape, fold_of
from apps.faq.fitting import CONFIDENCE_FEATURES, RANKING_FEATURES, fit_language
from apps.faq.ranking import rank
from core.types import Locale

DEFAULT = "multilingual-e5-small@0db63e48749a-64b2e765"


def test_the_default_encoder_has_a_calibration_with_token_vectors() -> None:
    calibration = load_calibration(DEFAULT)
    assert not calibration.is_fallback and calibration.projection is not None
    assert calibration.projection.kept == 128 and 0.85 < calibration.typical_density < 0.95


def test_a_folder_of_another_name_with_the_same_weights_has_it_too() -> None:
    assert load_calibration("my-copy@0db63e48749a-64b2e765") is load_calibration(DEFAULT)


def test_an_unknown_encoder_falls_back_to_what_words_say() -> None:
    calibration = load_calibration("other@123456789abc-00000000")
    similar = Candidate(faq_id=1, phrasing_id=1, text="p", cosine=0.99, bm25=0.1)
    assert calibration is fallback() and not rank(Asked(text="q"), [similar], calibration).accepted


def test_every_packaged_coefficient_names_a_feature_and_has_its_sign() -> None:
    for parts in load_calibration(DEFAULT).fits.values():
        for fit in parts.values():
            assert set(fit.ranking) | set(fit.confidence) <= set(PAIR_FEATURES) and 0 < fit.threshold < 1
            for coefficients in (fit.ranking, fit.confidence):
                assert all((value < 0) == (name in ("hubness", "other_kind", "density")) for name, value in coefficients.items())


def test_a_calibration_survives_its_file() -> None:
    calibration = load_calibration(DEFAULT)
    again = parse_calibration(dump_calibration(calibration))
    assert again.fits == calibration.fits and again.typical_density == calibration.typical_density


def test_a_file_without_a_fit_for_some_evidence_is_refused() -> None:
    row = json.loads(dump_calibration(load_calibration(DEFAULT)))
    del row["fits"]["en"]["lexical"]
    with pytest.raises(ValueError, match=r"No fit for en\.lexical"):
        parse_calibration(json.dumps(row))


def test_all_questions_of_an_faq_are_in_one_fold() -> None:
    assert fold_of("leave") == fold_of("leave") and len({fold_of(str(number)) for number in range(100)}) == 5


def invented(questions: int, locale: Locale) -> Shape:
    """Questions with two candidates: the right one has the higher cosine, and both are low where none is right."""
    chance, examples = random.Random(locale.value), []
    for number in range(questions):
        answerable = number % 2 == 0
        features = np.zeros((2, len(PAIR_FEATURES)), np.float32)
        features[:, 0] = [(0.9 if answerable else 0.82) + chance.gauss(0, 0.03), 0.82 + chance.gauss(0, 0.03)]
        features[:, 1] = [chance.random(), chance.random()]
        features[:, 2] = 0.8 + 0.1 * np.array([chance.random(), chance.random()])
        features[:, PAIR_FEATURES.index("above_density")] = features[:, 0] - 0.8
        right = np.array([answerable, False])
        examples.append(Example(features=features, owners=np.array([0, 1]), right=right, answerable=answerable, fold=number % 5))
    data = LabelledFAQs(name=f"invented {locale}", locale=locale, faqs={}, questions=[])
    return Shape(data=data, name="all", examples=examples)


def test_fitting_finds_the_feature_that_tells_and_the_probability_that_holds() -> None:
    fit, metrics = fit_language([invented(600, Locale.ZH), invented(600, Locale.EN)], Locale.ZH, Evidence.VECTORS)
    assert fit.ranking["cosine"] > 10 * abs(fit.ranking.get("hubness", 0.0)) and fit.confidence["above_density"] > 0
    assert float(str(metrics["false_answer_rate"])) <= 0.2 and fit.threshold >= 0.5
    assert float(str(metrics["top1"])) > 0.85 and float(str(metrics["expected_calibration_error"])) < 0.08


def test_each_language_and_evidence_has_features_to_fit() -> None:
    assert set(CONFIDENCE_FEATURES) == {(locale, evidence) for locale in Locale for evidence in Evidence}
    assert set(RANKING_FEATURES) == set(Evidence)
