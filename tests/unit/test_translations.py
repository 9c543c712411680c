"""Is everything that a reader sees there in Chinese? Catalogues agree with their sources and with the code."""

from __future__ import annotations

import ast
import gettext as gettext_module
import re
from pathlib import Path

import pytest
import unfold
from django.utils.translation import gettext, override
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[2]
OURS, UNFOLDS = (ROOT / "qa_project" / name / "zh_Hans" / "LC_MESSAGES" for name in ("locale", "locale_unfold"))
MARKERS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "gettext_noop"}
_CALL = re.compile(r"""\b(?:n?gettext|_)\(\s*u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_FIELD = re.compile(r"%\(\w+\)s|%\(\w+\)d|\{\}")


def read_po(path: Path) -> dict[str, str]:
    """msgid → msgstr of a catalogue's source; the first form of a plural."""
    found: dict[str, str] = {}
    for block in path.read_text().split("\n\n"):
        parts = {
            key: "".join(ast.literal_eval(line) for line in lines.splitlines())
            for key, lines in re.findall(r'^(msg\w+(?:\[0\])?) ((?:".*"\n?)+)', block, re.M)
        }
        found[parts.get("msgid", "")] = parts.get("msgstr") or parts.get("msgstr[0]", "")
    found.pop("", None)
    return found


def read_mo(path: Path) -> dict[str, str]:
    """msgid → msgstr of a compiled catalogue."""
    with path.open("rb") as file:
        catalogue = gettext_module.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    return {key if isinstance(key, str) else key[0]: text for key, text in catalogue.items() if key}


def texts_in_code(path: Path) -> set[str]:
    """The constant texts that a module marks for translation."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    marked = [call.args[0] for call in calls if call.func.id in MARKERS and call.args]  # type: ignore[attr-defined]
    return {text.value for text in marked if isinstance(text, ast.Constant) and isinstance(text.value, str)}


def texts_in_template(path: Path) -> set[str]:
    """The texts that a template marks for translation."""
    return {ast.literal_eval(text) for text in _CALL.findall(templatize(path.read_text()))}


def texts_of(code: list[Path], templates: list[Path]) -> set[str]:
    return set().union(*map(texts_in_code, code), *map(texts_in_template, templates))


@pytest.mark.parametrize("folder", [OURS, UNFOLDS], ids=["ours", "unfold"])
def test_the_compiled_catalogue_is_what_its_source_says(folder: Path) -> None:
    assert read_mo(folder / "django.mo") == read_po(folder / "django.po")


def test_every_text_of_ours_is_in_the_catalogue_and_nothing_else_is() -> None:
    code = [path for package in ("apps", "qa_project") for path in (ROOT / package).rglob("*.py")]
    assert set(read_po(OURS / "django.po")) == texts_of(code, list((ROOT / "frontend" / "templates").rglob("*.html")))


@pytest.mark.parametrize("folder", [OURS, UNFOLDS], ids=["ours", "unfold"])
def test_a_translation_keeps_the_places_that_are_filled_in(folder: Path) -> None:
    for text, translated in read_po(folder / "django.po").items():
        assert translated.strip(), text
        assert sorted(_FIELD.findall(text)) == sorted(_FIELD.findall(translated)), text


def test_no_text_of_unfold_is_left_in_english() -> None:
    folder = Path(unfold.__file__).parent
    code = [*folder.glob("*.py"), *folder.glob("mixins/*.py"), *folder.glob("templatetags/*.py"), *folder.glob("contrib/filters/**/*.py")]
    texts = texts_of(code, [*folder.glob("templates/**/*.html"), *folder.glob("contrib/filters/templates/**/*.html")])
    with override("zh-hans"):
        assert {text for text in texts if gettext(text) == text} == set()
