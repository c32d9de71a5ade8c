# Every target runs in a virtual environment of the project's own; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
ROOT ?= runs
SWEEP ?= bert_vs_gpt
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup quickstart sweep plots check test test-all test-ray test-slurm test-browser \
        bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## install the suite into $(VENV), with pinned versions

quickstart: $(VENV)/.installed ## train the default sweep, fit, draw, write the report (minutes)
	$(BIN)/scaling run quickstart --root $(ROOT)
	$(BIN)/scaling report $(ROOT)/quickstart

sweep: $(VENV)/.installed ## train a sweep and report on it: make sweep SWEEP=bert_vs_gpt
	$(BIN)/scaling run $(SWEEP) --root $(ROOT)
	$(BIN)/scaling report $(ROOT)/$(notdir $(basename $(SWEEP)))

plots: $(VENV)/.installed ## draw the figures of all questions; of a sweep: make plots SWEEP=quickstart
ifeq ($(origin SWEEP),file)
	$(BIN)/scaling answer all --out figures
else
	$(BIN)/scaling plot $(ROOT)/$(notdir $(basename $(SWEEP)))
endif

check: $(VENV)/.installed-dev ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: $(VENV)/.installed-dev ## the tests that take minutes together
	$(BIN)/python -m pytest -m "not slow" -n 2

test-all: $(VENV)/.installed-dev ## every test, the slow ones too
	$(BIN)/python -m pytest -n 2

test-ray: $(VENV)/.installed-dev ## install Ray, and test its engine on a cluster of processes
	$(INSTALL) -e ".[dev,ray]"
	$(BIN)/python -m pytest tests/test_ray.py tests/test_engines.py

test-slurm: $(VENV)/.installed-dev ## the engine for Slurm, on a real one; root on Debian gets it installed
	@command -v sbatch >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends munge slurm-wlm; } || \
	  echo "Slurm is not installed, and cannot be by this user with apt-get"
	$(BIN)/python -m pytest tests/test_slurm_cluster.py -rs

test-browser: $(VENV)/.installed-dev ## the report in headless Chromium; root on Debian gets it installed
	@command -v chromedriver >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends chromium chromium-driver; } || \
	  echo "Chromium is not installed, and cannot be by this user with apt-get"
	$(INSTALL) -e ".[dev,browser]"
	$(BIN)/python -m pytest tests/test_browser.py -rs

bench: $(VENV)/.installed-bench ## speed against peers and of a sweep, as ratios measured in one run
	$(BIN)/python -m tests.benchmarks.bench_step
	$(BIN)/python -m tests.benchmarks.bench_sweep
	$(BIN)/python -m tests.benchmarks.bench_launch
	$(BIN)/python -m tests.benchmarks.bench_store
	$(BIN)/python -m tests.benchmarks.bench_fit

clean: ## remove caches and builds; runs and the virtual environment stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11, which the suite needs: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e ".[dev]"
	@touch $@

# LitGPT lies apart: it asks for a huggingface_hub that transformers 5 cannot use.
$(VENV)/.installed-bench: $(VENV)/.installed-dev tests/benchmarks/litgpt.txt
	$(INSTALL) -e ".[dev,bench]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target $(VENV)/bench-litgpt -r tests/benchmarks/litgpt.txt
	@touch $@
