# Two commands matter: `make demo` and `make test`. Each prepares .venv on its first run and starts at once afterwards.

.DEFAULT_GOAL := help
.PHONY: help demo test check coverage bench docs clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Side by side, a process a core.
PYTEST := $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=8 --dist=worksteal

# Both are needed: pip reads the second one alone in the environments in which it builds packages.
# Relative, because pip splits the value at blanks.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_MKDOCS_2_WARNING := 1

is_new_enough := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(is_new_enough)' >/dev/null 2>&1 && echo $$python && break; done)

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## train a small language model in two minutes and show it
	$(BIN)/recur demo

test: $(INSTALLED) ## everything that CI runs: checks and all tests, one of which builds the docs site
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

check: $(INSTALLED) ## the fast part of it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q -m "not slow"

coverage: $(INSTALLED) ## which lines no test reaches; half as long again as the tests alone
	$(PYTEST) --cov --cov-report=term

bench: $(INSTALLED) ## measure against plain PyTorch; see benchmarks/README.md
	$(BIN)/python benchmarks/run.py

docs: $(INSTALLED) ## build the docs site into site/
	$(BIN)/mkdocs build --strict

clean: ## remove all that was built and installed; runs/ stays
	rm -rf $(VENV) build dist site .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt src/recur/__init__.py $(wildcard csrc/* csrc/*/*)
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later with venv and ensurepip found; install one, or say which: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c '$(is_new_enough)' || { echo "make: $(PYTHON) cannot be used: recur needs Python 3.11 or later with venv and ensurepip; choose another one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@for compiler in "$${CXX:-c++}" g++ clang++; do command -v "$$compiler" >/dev/null && exit 0; done; \
		echo "make: no C++ compiler found (c++, g++, clang++); install one, or name it: make CXX=/path/to/compiler" >&2; exit 1
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@
