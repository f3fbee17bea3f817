# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# As a variable it also binds the build's own environment.
export PIP_CONSTRAINT := constraints.txt

.PHONY: demo test lint bench clean

demo: $(STAMP)
	@$(BIN)/commensal demo

test: $(STAMP) lint
	@$(BIN)/python -m pytest -n 2 --dist loadfile -rs

lint: $(STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

bench: $(STAMP)
	@$(BIN)/python -m tests.benchmarks

# torch first and by itself: with no torch installed, another package's range would bring gigabytes
# of CUDA. Everything is pinned by constraints.txt, so tomorrow's installation is today's.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "commensal needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing (once) into $(VENV)"
	@$(BIN)/python -m pip install --quiet torch==2.13.0
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache demo-output
