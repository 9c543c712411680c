"""Prompts of a bot's own: what can be said in them, and what is refused before it is saved."""

from __future__ import annotations

import pytest

from apps.retrieval.grounding.templates import MAX_TEMPLATE_CHARS, SHIPPED, check_template, render_prompt
from core.errors import InvalidRequest
from core.types import Locale


def rendered(template: str) -> str:
    return render_prompt(template, Locale.EN, sources="S", question="Q", bot="B")


@pytest.mark.parametrize("locale", Locale)
def test_the_templates_that_ship_can_be_used(locale: Locale) -> None:
    check_template(SHIPPED[locale])
    said = render_prompt("", locale, sources="<source 1>", question="why?", bot="B")
    assert "<source 1>" in said and "why?" in said and "{" not in said


def test_a_template_shows_its_names_and_may_test_them() -> None:
    template = "{% if bot and not date %}x{% else %}{{ bot }}: {% endif %}{{ sources }}|{{ question }}"
    check_template(template)
    assert rendered(template) == "B: S|Q"


def test_what_a_document_or_a_question_says_is_no_template() -> None:
    assert (
        render_prompt("{{ sources }} {{ question }}", Locale.EN, sources="{{ bot }}", question="{% raw %}", bot="B")
        == "{{ bot }} {% raw %}"
    )


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ sources }} {{ question", "Line 1 of the template cannot be read"),
        ("{{ sources }}\n{{ qestion }}", "Line 2 of the template names 'qestion'"),
        ("{{ question }}", "never shows {{ sources }}"),
        ("{% if not bot %}{{ sources }}{% endif %}{{ question }}", "never shows {{ sources }}"),
        ("{{ sources }}{{ question }}{{ question.__class__ }}", "does more than show"),
        ("{{ sources }}{{ question }}{{ 'x' * 999999999 }}", "does more than show"),
        ("{{ sources }}{{ question }}{{ 9 ** 9 ** 9 }}", "does more than show"),
        ("{{ sources }}{{ question }}{% for x in question %}y{% endfor %}", "does more than show"),
        ("{{ sources }}{{ question }}{% include 'admin/index.html' %}", "does more than show"),
        ("{{ sources|upper }}{{ question }}", "does more than show"),
        ("{{ question }}{{ sources }}{{ sources }}{{ sources }}", "sources more than twice"),
        ("{{ sources }}{{ question }}" + "{% if bot %}" * 150 + "{% endif %}" * 150, "too"),
        ("x" * (MAX_TEMPLATE_CHARS + 1), "at most 4000"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_the_reason(template: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_template(template)
    assert says in refused.value.message
