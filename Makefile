# Needs python3 (3.11 or newer, with venv) and make; everything else comes by pip into .venv.
PYTHON  ?= python3
WORKERS ?= logical
# What pip says while it sets .venv up: PIP_QUIET= shows all of it.
PIP_QUIET ?= -qq

BIN     := .venv/bin
CHECKED := $(wildcard src tests examples benchmarks)

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

demo: .venv/installed ## Set everything up and run a seller's day on a new SQLite file
	@$(BIN)/python examples/seller_day.py

test: .venv/installed ## Run all tests against real engines (ARGS="-k redis" narrows it)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: .venv/installed ## Lint, format, types, and who may import whom
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports --no-logo

fmt: .venv/installed ## Put the code into the house format, fix what can be fixed
	$(BIN)/ruff check --fix-only $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

lock: ## Pin requirements/dev.txt anew from requirements/dev.in
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install $(PIP_QUIET) uv
	.venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --no-header requirements/dev.in -o requirements/dev.txt
	@{ echo '# Pinned by `make lock` from requirements/dev.in; edit that file, not this one.'; \
		cat requirements/dev.txt; } > requirements/dev.tmp && mv requirements/dev.tmp requirements/dev.txt

clean: ## Remove .venv and everything that was generated
	rm -rf .venv .venv-lock .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# New pins: .venv from scratch. A change of pyproject.toml alone: the project's own entry is renewed.
.venv/requirements: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Setting up .venv (once, well under a minute) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install $(PIP_QUIET) -r requirements/dev.txt
	@touch $@

.venv/installed: .venv/requirements pyproject.toml
	@$(BIN)/pip install $(PIP_QUIET) --no-deps --no-build-isolation -e .
	@touch $@
