"""Texts are told apart by script and by small words."""

from __future__ import annotations

import pytest

from core.languages import guess_language

TEXTS = [
    ("A walrus lives here.", "en"),
    ("Der Hund ist nicht in dem Haus und wird auch nicht kommen.", "de"),
    ("Les enfants sont dans la maison avec leur mère et ne sont pas au parc.", "fr"),
    ("El perro no es de la casa, pero lo quieren como si fuera suyo.", "es"),
    ("La riunione è stata spostata e non si sa quando ci sarà con gli altri.", "it"),
    ("Os meninos não estão na escola, mas uma das mães do bairro já sabe.", "pt"),
    ("Het is niet de bedoeling dat er een hond in het huis is.", "nl"),
    ("员工每年有十天年假，HR 系统里申请。", "zh"),
    ("退貨須於七日內提出申請。", "zh"),
    ("休暇は年に十日あります。", "ja"),
    ("연차 휴가는 10일입니다.", "ko"),
    ("Отпуск длится десять дней.", "ru"),
    ("12345 +-*", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "language"), TEXTS, ids=[language or "none" for _, language in TEXTS])
def test_a_text_is_in_its_language(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_the_particle_of_a_name_makes_no_language() -> None:
    rows = "Depot | Country | Manager | Phone\nEindhoven | Netherlands | Joris van Dam | +31 40\nLyon | France | Camille Roux | +33 4\n"
    assert guess_language(rows + "Suzhou | China | Zhou Qiming | +86 512\nRaleigh | United States | Dwayne Oakley | +1 919") == "en"
