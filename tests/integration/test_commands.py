"""The commands, as a person types them: what they print, what they change, how they end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from apps.accounts.keys import caller_of_key
from apps.accounts.models import ApiKey
from apps.accounts.permissions import Permission
from apps.dialogue.models import Bot
from apps.faq.models import FAQ
from apps.faq.rows import parse_row
from apps.faq.selectors import faq_of
from apps.faq.services import save_faqs
from apps.retrieval.models import EntryVector, KnowledgeBase
from core.backends import use_backend
from core.config import get_settings
from core.errors import ModelUnavailable
from core.types import FloatArray, Role
from tests.commands import run
from tests.encoders import HashingEncoder

pytestmark = pytest.mark.django_db
OURS = ["create_bot", "create_kb", "create_key", "demo", "export_faq", "import_faq", "models", "reindex", "verify_index"]


# every command


@pytest.mark.parametrize("name", OURS)
def test_every_option_of_every_command_is_explained(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    assert command.help
    assert all(action.help for action in parser._actions)


# create_kb, create_bot, create_key


def test_create_kb_makes_one_and_refuses_a_second_of_that_name() -> None:
    assert run("create_kb", "docs", "--name", "Docs", "--locale", "en")[0] == 0
    kb = KnowledgeBase.objects.get(slug="docs")
    assert (kb.name, kb.locale) == ("Docs", "en")
    status, _, said = run("create_kb", "docs")
    assert (status, said) == (1, "There is a knowledge base 'docs' already.")


def test_a_slug_must_fit_into_addresses() -> None:
    assert "is no slug" in run("create_kb", "a/b")[2]


def test_create_bot_joins_knowledge_bases(kb: KnowledgeBase) -> None:
    KnowledgeBase.objects.create(slug="second", name="Second")
    assert run("create_bot", "b", "--kb", "hr", "--kb", "second", "--public")[0] == 0
    bot = Bot.objects.get(slug="b")
    assert bot.public and {each.slug for each in bot.kbs.all()} == {"hr", "second"}
    assert run("create_bot", "b", "--kb", "hr")[0] == 1


def test_an_unknown_knowledge_base_is_answered_with_those_there_are(kb: KnowledgeBase) -> None:
    status, _, said = run("create_bot", "b", "--kb", "nope")
    assert status == 1 and "There are: hr" in said


def test_create_key_prints_the_key_alone_on_its_last_line(kb: KnowledgeBase) -> None:
    _, out, _ = run("create_key", "ci", "--role", "editor", "--kb", "hr")
    caller = caller_of_key(out.splitlines()[-1])
    assert caller.may(Permission.EDIT, kb.pk) and not caller.may(Permission.PUBLISH, kb.pk) and not caller.may(Permission.READ)
    assert run("create_key", "ci", "--role", "editor")[0] == 1


@pytest.mark.parametrize("words", [["--kb", "nope"], ["--bot", "nope"], ["--kb", "hr", "--bot", "helper"]])
def test_create_key_refuses_what_it_cannot_tie_to(words: list[str], bot: Bot) -> None:
    assert run("create_key", "x", "--role", "asker", *words)[0] == 1
    assert not ApiKey.objects.exists()


# import_faq, export_faq


def test_import_faq_ends_with_0_1_or_2(kb: KnowledgeBase, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("question,answer\na,1\n")
    (tmp_path / "some.csv").write_text("question,answer\nb,1\nc,\n")
    (tmp_path / "none.csv").write_text("x,y\n1,2\n")
    assert run("import_faq", "--kb", "hr", tmp_path / "good.csv")[:2] == (0, "1 created, 0 updated, 0 unchanged, 0 bad.\n")
    status, out, said = run("import_faq", "--kb", "hr", tmp_path / "some.csv")
    assert (status, out) == (1, "1 created, 0 updated, 0 unchanged, 1 bad.\n")
    assert "row 3: `answer` is empty." in said
    assert run("import_faq", "--kb", "hr", tmp_path / "none.csv")[0] == 2
    assert run("import_faq", "--kb", "hr", tmp_path / "missing.csv")[0] == 2
    assert run("import_faq", "--kb", "nope", tmp_path / "good.csv")[0] == 2
    assert FAQ.objects.count() == 2


def test_a_dry_run_says_that_it_is_one(kb: KnowledgeBase, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\na,1\n")
    assert run("import_faq", "--kb", "hr", "--dry-run", tmp_path / "a.csv")[1].startswith("Nothing was changed")
    assert not FAQ.objects.exists()


@pytest.mark.parametrize("ending", ["csv", "xlsx", "jsonl"])
def test_what_export_faq_writes_import_faq_finds_unchanged(ending: str, filled: KnowledgeBase, tmp_path: Path) -> None:
    assert run("export_faq", "--kb", "hr", tmp_path / f"out.{ending}")[0] == 0
    assert "10 unchanged" in run("import_faq", "--kb", "hr", tmp_path / f"out.{ending}")[1]
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{ending}"]


def test_a_failed_export_leaves_the_file_that_was_there(kb: KnowledgeBase, admin_caller: object, tmp_path: Path) -> None:
    save_faqs(kb, [parse_row({"id": "long", "question": "a", "answer": "x" * 40_000})], admin_caller)  # type: ignore[arg-type]
    (tmp_path / "out.xlsx").write_text("before")
    assert run("export_faq", "--kb", "hr", tmp_path / "out.xlsx")[0] == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


class NoEncoder:
    """An Encoder whose model cannot be had."""

    dim = 8

    @property
    def model_id(self) -> str:
        raise ModelUnavailable("no model")

    def encode(self, texts: object, role: Role) -> FloatArray:
        raise ModelUnavailable("no model")

    encode_query = encode_tokens = encode


def test_rows_that_came_without_an_encoder_are_told_and_get_their_vectors_later(kb: KnowledgeBase, tmp_path: Path) -> None:
    path = get_settings().encoder_backend
    (tmp_path / "a.csv").write_text("question,answer\na,1\n")
    use_backend(path, NoEncoder())
    status, _, said = run("import_faq", "--kb", "hr", tmp_path / "a.csv")
    assert status == 0 and "1 phrasings have no vector yet" in said
    use_backend(path, HashingEncoder())
    assert run("verify_index", "--kb", "hr")[0] == 1
    assert run("verify_index", "--kb", "hr", "--repair")[0] == 0
    assert EntryVector.objects.count() == 1


# models, demo


def test_models_list_names_the_known_ones() -> None:
    assert "multilingual-e5-small" in run("models", "list")[1]


def test_models_verify_fails_for_what_is_not_here() -> None:
    status, _, said = run("models", "verify", "multilingual-e5-small")
    assert status == 1 and "models fetch" in said


def test_the_demo_is_made_once_and_keeps_edits(encoder: HashingEncoder, admin_caller: object) -> None:
    assert run("demo")[0] == 0
    bot = Bot.objects.get(slug="demo")
    assert bot.public and {kb.slug for kb in bot.kbs.all()} == {"demo-zh", "demo-en"}
    assert len(bot.suggestions_zh.splitlines()) == len(bot.suggestions_en.splitlines()) == 4
    kb = KnowledgeBase.objects.get(slug="demo-en")
    assert set(kb.faqs.values_list("locale", "status")) == {("en", "published")} and kb.faqs.count() >= 120
    assert set(kb.documents.values_list("language", "status")) == {("en", "published")} and kb.documents.count() == 7
    save_faqs(kb, [parse_row({"id": "a3-vs-a5", "question": "A3 or A5?", "answer": "Mine."})], admin_caller)  # type: ignore[arg-type]
    encoded = encoder.texts_encoded
    assert run("demo")[0] == 0
    assert (encoder.texts_encoded, faq_of(kb, "a3-vs-a5").answer) == (encoded, "Mine.")
    run("demo", "--reset")
    assert faq_of(kb, "a3-vs-a5").answer != "Mine."


def test_a_failure_is_one_line_and_not_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "manage.py", "create_kb", "a b"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "CommandError: 'a b' is no slug: letters, digits, - and _ only."
