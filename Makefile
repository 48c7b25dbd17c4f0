# Two commands on a fresh machine with nothing but Python 3.11+ and make: `make demo` and `make test`.
# Each does all its own set-up in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint bench docs clean

help:
	@echo "make demo    find deformation in the example scenes and compare with the truth (light install, no torch)"
	@echo "make test    run the tests"
	@echo "make lint    ruff and mypy"
	@echo "make bench   benchmarks; figures are ratios measured in one run"
	@echo "make docs    figures of the documentation"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fringewatch needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.light: $(BIN)/python $(SOURCES)
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.light
	$(PIP) -e '.[train,cluster,fetch,stac,dev]'
	# Without what they need, of which the tests use nothing: GDAL's validator of GeoPackages, MintPy's reader of its files.
	$(PIP) --no-deps gdal-utils mintpy
	@touch $@

demo: $(VENV)/.light
	$(BIN)/python examples/demo.py

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/scan.py

docs: $(VENV)/.dev
	$(BIN)/python docs/make_docs.py
	$(BIN)/python docs/make_images.py

clean:
	rm -rf $(VENV) demo-results
