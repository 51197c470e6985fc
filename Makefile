# make demo   set up and watch a base model learn to reason        make test    set up and run the tests
# make check  lint, format, types, import rules                    make bench   measurements (docs/LOG.md, README)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-tiny test test-slow test-gpu check bench setup clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "r1zero needs Python 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/r1zero demo

demo-tiny: setup
	$(BIN)/r1zero demo --tiny

test: setup
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow

test-gpu: setup
	$(BIN)/python -m pytest -m gpu

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest tests/test_layers.py

bench: setup
	$(BIN)/python benchmarks/demo_seeds.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
