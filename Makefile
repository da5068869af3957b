# Needs python3 (3.11 or newer, with venv) and make; everything else comes by pip into .venv.
PYTHON  ?= python3
WORKERS ?= logical
# What pip says while it sets .venv up: PIP_QUIET= shows all of it.
PIP_QUIET ?= -qq

BIN     := .venv/bin
PYTEST  := $(BIN)/pytest -n $(WORKERS)
# What a change most often breaks: the pure parts, the schedules, the contract on each engine, the copies in the pages.
QUICK   := $(addprefix tests/,records runtime concurrency schedules conformance/test_memory.py conformance/test_sqlite.py \
	conformance/test_redis.py conformance/test_postgres.py sync/test_calls.py sync/test_threads.py sync/test_derived.py test_base.py test_factory.py test_imports.py test_registry.py test_settings.py \
	test_docs.py test_docs_names.py) \
	-k "not loops_that_leave and not eight_threads and not Pooler and not process and not every_example and not two_other_loops and not ChecksFind and not checks_find"
CHECKED := $(wildcard src tests examples benchmarks)

# Everything writes files of bytecode: without them each new process compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo quick test coverage newcomer torture effects mutation check matrix fmt adoption adcp bench bench-full bench-guard docs lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-11s %s\n' "$$name" "$$text"; done

demo: .venv/installed ## Set everything up and run a seller's day on a new SQLite file
	@$(BIN)/python examples/seller_day.py

quick: .venv/installed ## Run what a change most often breaks, in a minute or two (ARGS="-x" goes to pytest)
	@SCHEDULES="$${SCHEDULES:-0.1}" $(PYTEST) $(QUICK) $(ARGS)

test: .venv/installed ## Run all tests against real engines (ARGS="-k redis" narrows it)
	$(PYTEST) $(ARGS)

coverage: .venv/installed ## Run all tests with all schedules, files on the disk, and tell which lines none of them reaches; CI does
	@SCHEDULES="$${SCHEDULES:-1}" AD_SELLER_MORE=1 TMPDIR="$${TMPDIR:-/tmp}" $(MAKE) --no-print-directory test ARGS="--cov --cov-report=term $(ARGS)"

newcomer: .venv/installed ## Follow the pages in a fresh clone and environment: every command that they give
	@$(BIN)/python -m tests.newcomer $(ARGS)

torture: .venv/installed ## Try for hours to break every backend (ARGS="--backend sqlite --rounds 20"; see docs/testing.md)
	@$(BIN)/python -m tests.histories $(ARGS)

effects: .venv/installed ## Bookings at an ad server, killed at any step, 200 rounds an engine (ARGS="--backend redis --rounds 20")
	@$(BIN)/python -m tests.effects $(ARGS)

mutation: .venv/installed ## Put small defects into modules, tell which no test finds (ARGS="redis/scripts --kind text")
	@$(BIN)/python -m tests.mutation $(ARGS)

adoption: .venv/installed ## Move an agent of the older kind to this package and back, in a fresh environment (AGENT=path: a real one)
	@$(BIN)/python -m tests.adoption $(ARGS) $(AGENT)

adcp: .venv-adcp/installed ## The stores for the public AdCP library, against its real server (ARGS=--own: its own tests on them)
	@.venv-adcp/bin/python -m tests.adcp_library $(ARGS)

check: .venv/installed ## Lint, format, types, and who may import whom
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tests.sync.generate --check

matrix: .venv/installed ## Lowest, newest and the public agent's versions, on each Python found
	@$(BIN)/python -m tests.matrix $(ARGS)

fmt: .venv/installed ## Put the code into the house format, fix what can be fixed
	$(BIN)/ruff check --fix-only $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

bench: .venv-bench/installed ## Compare with other stores, some minutes per engine (ARGS="--engine redis" narrows it)
	.venv-bench/bin/python -m benchmarks $(ARGS)

bench-full: .venv-bench/installed ## Likewise with every workload, up to 1,000,000 entries
	.venv-bench/bin/python -m benchmarks --full $(ARGS)

bench-guard: .venv-bench/installed ## Tell what has become slower than benchmarks/guard.json allows
	.venv-bench/bin/python -m benchmarks --guard $(ARGS)

docs: .venv-docs/installed ## Build the documentation as pages into site/
	@.venv-docs/bin/mkdocs build --quiet --strict
	@echo "Open site/index.html"

lock: ## Pin the requirements/*.txt anew from the .in files
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install $(PIP_QUIET) uv
	for name in dev bench docs adoption adcp; do \
		.venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
			--no-header requirements/$$name.in -o requirements/$$name.txt && \
		{ echo "# Pinned by \`make lock\` from requirements/$$name.in; edit that file, not this one."; \
			cat requirements/$$name.txt; } > requirements/lock.tmp && \
		mv requirements/lock.tmp requirements/$$name.txt || exit 1; \
	done

clean: ## Remove the environments and everything that was generated
	rm -rf .venv .venv-bench .venv-docs .venv-adcp .venv-lock .venv-matrix .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .mutation .coverage* build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# New pins: .venv from scratch. A change of pyproject.toml, or of a file that an editable install copies: only ours is renewed.
.venv/requirements: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Setting up .venv (once, well under a minute) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install $(PIP_QUIET) -r requirements/pip.txt
	@$(BIN)/pip install $(PIP_QUIET) -r requirements/dev.txt
	@touch $@

.venv/installed: .venv/requirements pyproject.toml src/ad_seller_storage_pytest.py src/ad_seller_storage_command.py examples/seller_day.py
	@$(BIN)/pip install $(PIP_QUIET) --no-deps --no-build-isolation -e .
	@touch $@

# The benchmarks' other stores and clients stay out of .venv.
.venv-bench/requirements: requirements/bench.txt
	@echo "Setting up .venv-bench (once, about half a minute) ..."
	@$(PYTHON) -m venv --clear .venv-bench
	@.venv-bench/bin/pip install $(PIP_QUIET) -r requirements/bench.txt
	@touch $@

.venv-bench/installed: .venv-bench/requirements pyproject.toml
	@.venv-bench/bin/pip install $(PIP_QUIET) --no-deps --no-build-isolation -e .
	@touch $@

# Its pydantic is older than that of .venv. Most of it is never imported, so nothing is compiled beforehand.
.venv-adcp/requirements: requirements/adcp.txt
	@echo "Setting up .venv-adcp (once, about half a minute) ..."
	@$(PYTHON) -m venv --clear .venv-adcp
	@.venv-adcp/bin/pip install $(PIP_QUIET) --no-compile -r requirements/adcp.txt
	@touch $@

.venv-adcp/installed: .venv-adcp/requirements pyproject.toml
	@.venv-adcp/bin/pip install $(PIP_QUIET) --no-deps --no-build-isolation -e .
	@touch $@

.venv-docs/installed: requirements/docs.txt
	@echo "Setting up .venv-docs (once, some seconds) ..."
	@$(PYTHON) -m venv --clear .venv-docs
	@.venv-docs/bin/pip install $(PIP_QUIET) -r requirements/docs.txt
	@touch $@
