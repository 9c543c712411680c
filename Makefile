# Wenlu: `make run` starts it, `make test` tests it. QA_PORT (8000) and QA_DATA_DIR (var/) say where.

.DEFAULT_GOAL := help
.PHONY: help install install-ocr install-dev run stack test lint docs

VENV := .venv
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PYTEST_ARGS ?=

help:
	@echo "make install   virtual environment in $(VENV) with everything that a server needs"
	@echo "make install-ocr   the same, and what reads scanned pages (some 120 MB to download, 290 MB on disk)"
	@echo "make run       install, create or update the data folder, serve in the foreground"
	@echo "make stack     the same on PostgreSQL, Redis, two workers and two web processes, without Docker"
	@echo "make test      install what tests need and run them (PYTEST_ARGS=... is passed on)"
	@echo "make lint      ruff, mypy and the import rules"
	@echo "make docs      write docs/settings.md anew from core/config.py"

install: $(VENV)/installed

install-ocr: $(VENV)/installed-ocr

install-dev: $(VENV)/installed-dev

# The shell becomes the server, so that signals reach it.
run: install
	@exec $(VENV)/bin/python manage.py serve

stack: install
	@exec $(VENV)/bin/python -m deploy.stack

test: install-dev
	@exec $(VENV)/bin/python -m pytest $(PYTEST_ARGS)

lint: install-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: install-dev
	@$(VENV)/bin/python -m tests.docs.settings_page

# A candidate must really run (a version manager's shim may not), be in range, and be able to make environments.
$(VENV)/bin/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "Wenlu needs Python 3.11, 3.12 or 3.13 with its venv module; none of these is one: $(strip $(PYTHONS))." >&2; \
	echo "Install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12 $(or $(MAKECMDGOALS),install)" >&2; \
	exit 1

# torch comes first: it is most of the download, and a broken line stops here and not halfway through the rest.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing (the first time takes minutes: torch is large)"
	@$(PIP) --upgrade pip
	@$(PIP) torch
	@$(PIP) --only-deps .
	@touch $@

$(VENV)/installed-ocr: $(VENV)/installed
	@$(PIP) --only-deps '.[ocr]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what tests need"
	@$(PIP) --only-deps '.[dev]'
	@touch $@
