# make run, make test: see README.md. Each target installs what it needs into .venv first.
PYTHON ?= $(firstword $(shell for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python; done))
HTTP_PORT ?= 4400
DATA_DIR ?= ./var
WORKERS ?= 3

BIN := .venv/bin
STAMP := .venv/installed
TYPED := $(wildcard conftest.py setup.py chronos_py tests compat_tests benchmarks http-parser/http_parser)

.DEFAULT_GOAL := help
.PHONY: help install run screenshots test prerequisites lint format type check compat bench docs dist clean

help:  ## say what each target does
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 16

install: $(STAMP)  ## fill .venv

$(STAMP): setup.cfg setup.py pyproject.toml $(wildcard http-parser/*.cfg http-parser/*.toml http-parser/http_parser/*.py)
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; set PYTHON" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ./http-parser --editable '.[test,lint]'
	touch $(STAMP)

run: install  ## serve on HTTP_PORT (4400) with the local driver and the examples; state in DATA_DIR (./var)
	$(BIN)/chronos-py serve --http_port $(HTTP_PORT) --data_dir $(DATA_DIR) --examples

# Most tests wait for servers rather than compute: a few at a time, a file's tests together, take half the time. What fails
# in that crowd is tried once more alone: then it is the machine that was too busy, and the first report says for which test.
test: install prerequisites lint  ## everything that CI checks
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --durations 25 || \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none

prerequisites:
	scripts/test-prerequisites.sh

lint: install  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)

format: install  ## put the code into the style that lint asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: test  ## the same as test

compat: install  ## the compatibility tests against a running server: URL=http://host:4400
	$(BIN)/python -m pytest compat_tests --url $(URL)

bench: install  ## measure; figures for docs/performance.md
	$(BIN)/python -m benchmarks

docs: install  ## check README.md and docs/
	$(BIN)/python -m pytest tests/test_docs.py

screenshots: install  ## pictures of every page into screenshots/, which git ignores
	$(BIN)/python -m tests.browser.screenshots screenshots

dist: install  ## wheels and sources that can be carried elsewhere, in dist/
	$(BIN)/python -m scripts.dist

clean:  ## remove what was built, not .venv and not DATA_DIR
	rm -rf build dist *.egg-info http-parser/build http-parser/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
