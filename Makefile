# The two commands: `make demo` and `make test`. Everything they need is set up by themselves, inside this folder.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test check bench bench-detection bench-correlation bench-keyed savepoint oracle lint types imports fast constraints generate clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: setup ## the joint SOC at work on this machine: servers, six institutions, attacks, dashboard
	@$(BIN)/jsoc demo

test: setup check ## every test; starts one stack on the real servers for the whole run
	@$(BIN)/pytest -q -m stack tests

check: $(READY) lint types imports fast ## what needs no server, under two minutes

fast: $(READY)
	@$(BIN)/pytest -q -n auto --dist loadfile -m "not stack" tests

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(READY)
	@$(BIN)/mypy

imports: $(READY)
	@$(BIN)/lint-imports --no-cache

bench: setup ## measure throughput, latency and start-up; prints a table
	@$(BIN)/python -m benchmarks.pipeline

bench-detection: $(READY) ## detection on one core beside rsigma, where that is on the path; ten times the rules; memory
	@$(BIN)/python -m benchmarks.detection

bench-correlation: $(READY) ## the correlation core on one core
	@$(BIN)/python -m benchmarks.correlation

bench-keyed: setup ## keyed hits on one slot, bytes for each group, checkpoints at a million groups
	@$(BIN)/python -m benchmarks.keyed

savepoint: setup ## record the job's state for the tests of later releases: make savepoint NAME=0.1.0
	@JSOC_TEST_HOME=/tmp/jointsoc-savepoint $(BIN)/python -m tests.e2e.recorded_job $(NAME)

oracle: $(READY) ## every SigmaHQ rule against SQLite's verdicts and written-out references; some minutes
	@JSOC_ORACLE=all JSOC_EXAMPLES=5000 $(BIN)/pytest -q tests/pipeline/detect/test_oracle.py tests/pipeline/detect/test_references.py tests/pipeline/detect/test_hostile.py

setup: $(READY) ## virtual environment, JVM parts and Elasticsearch; skips what is there
	@$(BIN)/jsoc setup

$(READY): pyproject.toml constraints.txt deploy/local/check_machine.sh
	@PYTHON="$(PYTHON)" deploy/local/check_machine.sh
	@echo "setup: virtual environment in $(VENV) (about 900 MB, one to two minutes)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/pip install --progress-bar on --disable-pip-version-check -c constraints.txt -e '.[centre,dev]'
	@touch $@

constraints: ## pin what the virtual environment holds now
	@(echo '# Versions known to work together; written by `make constraints`. Holds no addresses.'; \
	  $(BIN)/pip freeze --exclude-editable | sort -f) > constraints.txt

generate: $(READY) ## JSON Schemas, Elasticsearch templates and the CLI reference, from the code
	@$(BIN)/python -m schemas.generate
	@$(BIN)/python -m pipeline.cli.reference

clean: ## stop the stack and remove everything set up here
	@test ! -x $(BIN)/jsoc || $(BIN)/jsoc down --wipe --yes
	@rm -rf $(VENV) .jointsoc .mypy_cache .ruff_cache .pytest_cache
