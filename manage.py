#!/usr/bin/env python3
"""Wenlu's command line: `manage.py --help` lists the commands."""

import os
import sys

import core.native  # noqa: F401 - before anything imports numpy


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qa_project.settings")
    from core.errors import QAError

    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except QAError as error:
        sys.exit(f"{error.code}: {error.message}")


if __name__ == "__main__":
    main()
