"""`manage.py models list|fetch|verify`: the model files on this machine."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from apps.accounts.commands import WenluCommand
from apps.serving.registry import default_models, fetch_model, list_models, verify_model
from core.errors import ModelUnavailable


class Command(WenluCommand):
    """Lists, fetches and verifies models."""

    help = "Lists the models, fetches those that are missing, or checks that every file is whole."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|verify", help="what to do")
        actions.add_parser("list", help="the known models, and which of them are here")
        fetch = actions.add_parser("fetch", help="downloads and converts a model; quick where it is here and whole")
        fetch.add_argument("name", nargs="?", metavar="NAME", help="a known model; without it those that the settings name")
        verify = actions.add_parser("verify", help="reads every file and compares its sha256; exit status 1 where one differs")
        verify.add_argument("name", nargs="?", metavar="NAME", help="a model that is here; without it all of them")

    def handle(self, *args: object, **options: Any) -> None:
        {"list": self._list, "fetch": self._fetch, "verify": self._verify}[options["action"]](options)

    def _list(self, options: dict[str, Any]) -> None:
        for model in list_models():
            state = f"{model.bytes / 2**20:.0f} MiB" if model.present else "missing"
            self.stdout.write(f"{model.name:<32}{model.role:<12}{state:<12}{model.source}  {model.licence}".rstrip())

    def _fetch(self, options: dict[str, Any]) -> None:
        for name in [options["name"]] if options["name"] else default_models():
            with tqdm(total=100, unit="%", desc=name, disable=None) as bar:

                def show(step: str, done: float, bar: tqdm[None] = bar) -> None:
                    bar.set_postfix_str(step, refresh=False)
                    bar.update(round(done * 100) - bar.n)

                folder = fetch_model(name, show)
            self.stdout.write(f"{name} is in {folder}.")

    def _verify(self, options: dict[str, Any]) -> None:
        damaged = 0
        for name in [options["name"]] if options["name"] else [model.name for model in list_models() if model.present]:
            try:
                verify_model(name)
                self.stdout.write(f"{name}: whole.")
            except ModelUnavailable as error:
                damaged += 1
                self.stderr.write(error.message)
        if damaged:
            raise CommandError(f"{damaged} models are damaged or missing.")
