# Everything from a fresh clone: each target builds the environment on its first run.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check docs install clean

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */\1\t/' | expand -t 12

demo: install  ## the report's detectors and a small GAN on drawn faces: 4 minutes
	$(BIN)/fauxlab demo
	@echo "Open runs/demo/report.html in a browser."

test: install  ## run the tests
	$(BIN)/pytest

check: install  ## what CI runs: ruff, mypy --strict, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest

docs: .venv/documented  ## build the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: .venv/installed  ## build .venv with pinned versions

clean:  ## remove the environment and everything that can be built again
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

.venv/documented: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@
