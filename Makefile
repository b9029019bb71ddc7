# Everything one does with a checkout. Needs make and Python 3.11 with venv; each target sets up
# the rest by itself, in .venv, and is quick about it the second time.

PYTHON  ?= python3
WORKERS ?= 2
ARGS    ?=

BIN     := .venv/bin
SETUP    = @$(PYTHON) requirements/install.py
PYTEST   = $(BIN)/pytest -n $(WORKERS) --dist worksteal
COMPILE  = .uv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help run test soak lint bench bench-full load load-ui lock clean

help: ## List these targets
	@echo 'make TARGET [ARGS="..."] [PYTHON=python3.11] [WORKERS=2]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

run: ## Make a demonstration site, play the story, serve until Ctrl-C (ARGS="case --once": one act)
	$(SETUP) run
	@$(BIN)/lacuna demo $(ARGS)

test: ## Run the tests; branch coverage of crypto and keys must be 100 % (ARGS=tests/x: only those)
	$(SETUP) dev
	$(PYTEST) $(or $(ARGS),--cov)

soak: ## Run the tests with far more histories and every fault (hours)
	$(SETUP) dev
	LACUNA_SOAK=1 $(PYTEST) --timeout 0 $(ARGS)

lint: ## Check format, lint, types and import contracts
	$(SETUP) dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: ## Measure; a table on the screen, JSON beside it
	$(SETUP) dev
	@$(BIN)/python -m bench $(ARGS)

bench-full: ## Measure at 10 million records too (hours, 40 GB in TMPDIR)
	$(SETUP) dev
	@$(BIN)/python -m bench $(ARGS)
	@$(BIN)/python -m bench --full

load: ## Play a day of hospitals against a real site (ARGS="--duration 10m --users 100")
	$(SETUP) dev
	@$(BIN)/python -m bench.day $(ARGS)

load-ui: ## The same on locust's web page, until Ctrl-C
	$(SETUP) dev
	@$(BIN)/python -m bench.day --ui $(ARGS)

lock: ## Write both locks anew from pyproject.toml (ARGS=--upgrade: with newer versions)
	@$(PYTHON) -m venv .uv
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
	$(COMPILE) $(ARGS) -o requirements/run.lock pyproject.toml requirements/build.in
	$(COMPILE) $(ARGS) -o requirements/dev.lock -c requirements/run.lock --extra dev \
	  pyproject.toml requirements/build.in

clean: ## Remove .venv, caches and coverage data; sites and slots stay
	rm -rf .venv .uv build dist .coverage .coverage.* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
