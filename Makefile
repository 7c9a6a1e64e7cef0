# Every target needs nothing before it but Python 3.11 or newer: the environment is made on the way.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready

# Real photographs and scans that some tests read; without them those tests are skipped.
REAL := $(abspath ../shared/real)
ifneq ($(wildcard $(REAL)),)
export MEDLIT_REAL_FILES ?= $(REAL)
endif
# One thread per test process: the processes share the cores.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint types check format clean

help:  ## Explain the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-12s %s\n", $$1, $$2 }'

setup: $(READY)  ## Make .venv with the tested versions (uv where the machine has it, else pip)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "medlit needs Python 3.11 or newer; name one: make setup PYTHON=python3.12" >&2; exit 2; }
	@if command -v uv >/dev/null; then \
		uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv && \
		uv pip install --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev,notebook,dicom,shards]'; \
	else \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,notebook,dicom,shards]'; \
	fi
	@touch $@

demo: $(READY)  ## Train and compare on a look-alike set, on a CPU in minutes
	$(BIN)/medlit demo

test: $(READY)  ## All tests
	$(TEST) -n $(WORKERS) --dist loadfile

test-fast: $(READY)  ## Fast tests only
	$(TEST) -m "not slow" -n $(WORKERS) --dist loadfile

lint: $(READY)  ## ruff's rules
	$(BIN)/ruff check .

types: $(READY)  ## mypy, strict
	$(BIN)/mypy

check: lint types  ## lint, types, and the formatter's opinion
	$(BIN)/ruff format --check .

format: $(READY)  ## Mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove .venv, caches and build outputs; runs/ and data/ stay
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
