# Five verbs. Each sets up .venv by itself; that needs Python 3.11 and make, nothing else.
#   make demo    a shop from its files to a decision and its outcome, told on the terminal
#   make demo-intervention   thirty days of a simulated shop that is acted on, and a page of them
#   make test    every check, then every test
#   make check   style, types and architecture
#   make fix     what ruff can mend by itself
#   make bench   the obvious way and ours side by side: docs/benchmarks.md, anew
#   make bench-quality   the models on public data: docs/quality.md, anew
# `make test-long` runs the tests that take minutes each; `make .venv` only sets up, `make clean`
# removes it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
VENV := .venv
.PHONY: demo demo-intervention test test-long check lint fix bench bench-quality clean $(VENV)

READY := $(VENV)/.ready
# The first interpreter that really is 3.11: a name on the path may be a shim without a version.
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)
# uv does not read pip's variable. It takes a local torch wheel from there; without one, the index's.
FIND_LINKS := $(foreach place,$(PIP_FIND_LINKS),--find-links "$(place)")
ENTER := . $(VENV)/bin/activate &&
# Two processes, each with whole files: tests of one file may share what is dear to make.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile --no-loadscope-reorder
PYTHON_FILES := feature_repo training serving tests infra $(wildcard demo*.py)

demo: $(READY)
	@$(ENTER) python demo.py $(ARGS)

# In a home of its own, made anew each time: the days that it plays are nobody's.
demo-intervention: $(READY)
	@$(ENTER) export NUDGE_HOME="$$NUDGE_HOME/intervention" && rm -rf "$$NUDGE_HOME" && \
		. infra/environment.sh && python demo_intervention.py $(ARGS)

test: lint
	@$(ENTER) python -m pytest -m "not long" $(SIDE_BY_SIDE) $(ARGS)

test-long: $(READY)
	@$(ENTER) python -m pytest -m long $(ARGS)

check: lint
	@$(ENTER) python -m pytest tests/rules

lint: $(READY)
	@$(ENTER) ruff check $(PYTHON_FILES)
	@$(ENTER) ruff format --check $(PYTHON_FILES)
	@$(ENTER) mypy
	@$(ENTER) lint-imports

fix: $(READY)
	@$(ENTER) ruff check --fix $(PYTHON_FILES)
	@$(ENTER) ruff format $(PYTHON_FILES)

# DuckDB is a rival's engine: measured beside ours, and no part of Nudge.
bench: $(READY)
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python $(FIND_LINKS) \
		--constraint requirements.lock "feast[duckdb]"
	@$(ENTER) for script in tests/bench/bench_*.py; do \
		echo "== $$script"; python -m tests.bench.$$(basename "$$script" .py); done
	@$(ENTER) python -m tests.bench.report

bench-quality: $(READY)
	@$(ENTER) python -m tests.bench.quality measure
	@$(ENTER) python -m tests.bench.quality

$(VENV): $(READY)

clean:
	rm -rf $(VENV)

# Done again only when the lock, the project's description or this file changed.
$(READY): requirements.lock pyproject.toml Makefile
	@test -n "$(PYTHON)" || { echo "no Python 3.11 found; install it or run make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	@$(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python $(FIND_LINKS) -r requirements.lock
	@$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python $(FIND_LINKS) --no-deps --editable .
	@grep -q 'nudge: addresses' $(VENV)/bin/activate || printf '%s\n' '' '# nudge: addresses of this shop' \
		'. "$$(dirname "$$VIRTUAL_ENV")/infra/environment.sh"' >> $(VENV)/bin/activate
	@touch $@
