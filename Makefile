# Two commands do all the set-up: `make demo` and `make test`. See README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test check format docs cli-reference bench bench-gpu clean

help:
	@echo "make demo       simulate a small survey, predict, evaluate, find look-alikes"
	@echo "make test       run the tests"
	@echo "make check      format, lint, types, import contracts, docs in sync"
	@echo "make docs       build the documentation into docs/_build"
	@echo "make bench      measure on the CPU (JSON)"
	@echo "make bench-gpu  measure on a GPU (JSON)"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[sim,plot]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[docs]'
	@touch $@

demo: $(VENV)/.runtime
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

# A process a core, each in one thread, is faster than one whose threads wait for each other.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/cli_reference.py --check

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cli-reference: $(VENV)/.dev
	$(BIN)/python docs/cli_reference.py

docs: $(VENV)/.docs
	$(BIN)/python docs/cli_reference.py
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(VENV)/.dev
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script --device cpu || exit 1; done

bench-gpu: $(VENV)/.dev
	@$(BIN)/python -c "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 'no GPU is visible to torch')"
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script --device cuda || exit 1; done

clean:
	rm -rf $(VENV) demo docs/_build build dist *.egg-info
