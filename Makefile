# make demo   set up and watch a base model learn to reason        make test    set up and run the tests
# make check  lint, format, types, import rules                    make bench   measurements (docs/performance.md)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-tiny test test-slow test-portable test-gpu check bench bench-gpu setup clean

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

# numbers hold on any processor: the numeric tests on other instruction sets and thread counts
NUMERIC := tests/algorithms tests/engine tests/models tests/tuning tests/trainer tests/rl/test_loop.py tests/rl/test_algorithms.py
test-portable: setup
	ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(NUMERIC)
	ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(NUMERIC)
	ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(NUMERIC)
	ONEDNN_MAX_CPU_ISA=AVX512_CORE OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(NUMERIC)

test-gpu: setup
	$(BIN)/python -m pytest -m gpu

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest tests/test_layers.py

# what needs no peers and no data; the others say on their first lines what they need
bench: setup
	$(BIN)/python benchmarks/sampler.py
	$(BIN)/python benchmarks/train_roofline.py
	$(BIN)/python benchmarks/scaling.py

bench-gpu: setup
	$(BIN)/python benchmarks/decode_roofline.py --model qwen2.5-1.5b
	$(BIN)/python benchmarks/decode_roofline.py --model qwen2.5-1.5b --rows 256
	$(BIN)/python benchmarks/decode_roofline.py --model qwen2.5-1.5b --compile
	$(BIN)/python benchmarks/train_roofline.py --models smollm2-135m qwen2.5-1.5b qwen2.5-7b

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
