# Needs Python 3.11 or newer and git; everything else goes into .venv.
.DEFAULT_GOAL := help
.PHONY: help install run test test-slow test-cluster lint bench viz mlflow jupyter docs clean

BIN := .venv/bin
STAMP := .venv/.installed

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## Install into .venv, once

$(STAMP): pyproject.toml requirements.lock
	@PYTHON="$(PYTHON)" sh tools/install.sh

run: install ## Make a synthetic cohort and its legibility map, and compare it with the truth
	$(BIN)/kedro run --pipelines synthetic_cohort
	$(BIN)/kedro run
	$(BIN)/python -m benchmarks.truth data

test: install ## Run the tests, except the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install ## Run the slow tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow || test $$? -eq 5 # 5: there are none

test-cluster: install ## Run the tests that need a batch system (Slurm on this machine, as root)
	$(BIN)/python -m pytest -m cluster || test $$? -eq 5

lint: install ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## Run every benchmark, or one: make bench ONLY=name
	$(BIN)/python -m benchmarks $(ONLY)

viz: install ## Show the pipelines in a browser, on this machine only
	$(BIN)/kedro viz run --host 127.0.0.1

mlflow: install ## Show the tracked runs in a browser, on this machine only; ENV=ukb, PORT=5001
	@$(BIN)/python -m ukb_brain.tracking_page $(if $(ENV),--env $(ENV)) $(if $(PORT),--port $(PORT))

jupyter: install ## Open the notebooks, on this machine only
	$(BIN)/kedro jupyter lab --ip=127.0.0.1

docs: install ## Write the documents' generated lists, check what they name, and draw the pipelines into build/
	$(BIN)/python -m tools.own_data
	$(BIN)/python -m pytest -q tests/test_documents.py
	$(BIN)/kedro viz build

clean: ## Remove caches and build products; data and .venv stay
	rm -rf build dist .viz info.log .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
