# Needs make and Python 3.11 or newer with pip; uses uv instead of pip where uv is installed.
# Every target sets up what it needs in .venv, once, and again when pyproject.toml changes.

.DEFAULT_GOAL := help
.PHONY: help demo test check docs gallery install clean

VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
ARGS ?=

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
	@echo 'Options go in ARGS: make demo ARGS="--quick", make test ARGS="-k quadratic -x"'

demo: $(VENV)/.demo ## Train an optimizer, compare it with tuned baselines, write a report
	$(BIN)/learned-opt demo $(ARGS)

test: $(VENV)/.dev ## Run the tests and every documented example
	$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=worksteal $(ARGS)

check: $(VENV)/.dev ## Lint, format, types, layers, and documentation of everything public
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_public_api.py

docs: $(VENV)/.docs ## Build these pages as a site, in docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html $(ARGS)

gallery: $(VENV)/.docs ## Run the notebooks of the docs and keep what they show
	rm -rf docs/gallery/runs
	$(BIN)/jupyter execute --inplace docs/gallery/*.ipynb $(ARGS)

install: $(VENV)/.dev ## Set up the development environment in .venv

clean: ## Remove the environment, caches and builds
	rm -rf $(VENV) .cache .nox .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ifneq ($(UV),)
VENV_CREATE = $(UV) venv --quiet --python '>=3.11' $(VENV)
PIP_INSTALL = $(UV) pip install --quiet --python $(BIN)/python
else
NEW_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
# The newest interpreter is not always `python3`: take the first that is new enough.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$p $(NEW_ENOUGH) && { echo $$p; exit; }; done; echo python3)
# Without pip inside, so that no ensurepip (a package of its own on Debian) is needed.
VENV_CREATE = @$(PYTHON) $(NEW_ENOUGH) || { \
    echo "learned-opt needs Python 3.11 or newer, but $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
    echo "Install a newer one, or uv, or name one: make PYTHON=/path/to/python3.11 ..."; exit 1; } >&2; \
    $(PYTHON) -m venv --without-pip $(VENV)
PIP_INSTALL = $(PYTHON) -m pip --python $(BIN)/python install --quiet
endif

$(BIN)/python:
	$(VENV_CREATE)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo 'Installing into $(VENV), which takes about a minute ...'
	@$(PIP_INSTALL) --editable '.[all]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo 'Installing into $(VENV), which takes about a minute ...'
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	@echo 'Installing into $(VENV), which takes about a minute ...'
	@$(PIP_INSTALL) --editable '.[all,docs]'
	@touch $@
