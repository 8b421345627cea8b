# Bare `make` explains itself. Everything is installed into .venv, from requirements that are pinned by hash.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PEERS := benchmarks/peers/node_modules/.package-lock.json
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	--python-version 3.11 --extra build $(ARGS) pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help install run test check bench format lock clean

help: ## Say what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/run.stamp ## Install into .venv what the service needs, and nothing more

run: $(VENV)/run.stamp ## Install, start PostgreSQL, migrate and serve; prints the URL and the first administrator's token
	@exec $(BIN)/keyledger serve

# Tests wait for disks and timers more than they compute, so two at once take half the time. Each process starts a
# PostgreSQL of its own: more than four would only crowd each other out.
test: $(VENV)/test.stamp ## Install what the tests need and run them; ARGS="-k rotate" chooses
	$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=worksteal $(ARGS)

check: $(VENV)/test.stamp ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench.stamp $(PEERS) ## Measure side by side with peers and limits; writes docs/performance.md
	$(BIN)/python -m benchmarks

format: $(VENV)/test.stamp ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The tests' requirements hold all the others, so they are resolved first and bind the rest.
lock: | $(BIN)/python ## Pin by hash what pyproject.toml asks for; ARGS=--upgrade takes the newest of everything
	$(PIP) install uv
	$(LOCK) --extra test -o requirements/test.txt
	$(LOCK) --extra bench -c requirements/test.txt -o requirements/bench.txt
	$(LOCK) -c requirements/test.txt -o requirements/run.txt

clean: ## Remove the environment and caches; the data directory stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

# Half an environment is worse than none: the next make would take it for a whole one.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Keyledger needs Python 3.11 or later, and \
	$(PYTHON) is older: name another one, like make PYTHON=python3.12 run")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# npm writes this file when all that the lock names is there.
$(PEERS): benchmarks/peers/package-lock.json
	npm ci --prefix benchmarks/peers --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

# A stamp says that the environment holds what one file of requirements asks for: with it there is nothing to do.
$(VENV)/%.stamp: requirements/%.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes -r $<
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
