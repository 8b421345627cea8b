# Bare `make` explains itself. Everything is installed into .venv, from requirements that are pinned by hash.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test check bench format lock clean

help: ## Say what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## Install, start PostgreSQL, migrate and serve; prints the URL and the first administrator's token
	@exec $(BIN)/keyledger serve

test: $(VENV)/test.stamp ## Install what the tests need and run them
	$(BIN)/python -m pytest

check: $(VENV)/test.stamp ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench.stamp ## Measure side by side with peers and limits; writes docs/performance.md
	$(BIN)/python -m benchmarks

format: $(VENV)/test.stamp ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/test.stamp ## Pin every requirement anew, by hash and without index addresses
	$(BIN)/python -m pip install --quiet uv
	for extra in test bench; do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	    --extra $$extra pyproject.toml -o requirements/$$extra.txt; done
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  pyproject.toml -o requirements/run.txt

clean: ## Remove the environment and caches; the data directory stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp says that the environment holds what one file of requirements asks for.
$(VENV)/%.stamp: requirements/%.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
