# The two commands: `make run` and `make test`. Each makes what it needs; CONTRIBUTING.md has the rest.

PYTHON ?= python3
# Given to webdemo as a flag: PORT in its environment would open it to every address.
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin

PYTEST := PYTHONDEVMODE=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# For each target of a fuzz run.
FUZZ_SECONDS ?= 60

.PHONY: run test deep fuzz check coverage docs dist bench programs clean

run: $(VENV)/installed
	env -u PORT $(BIN)/python -m webdemo --port $(PORT)

test: $(VENV)/tested programs
	$(PYTEST)

# Every test, those too that take long: all servers, proxies, crowds; then the fuzz run.
deep: $(VENV)/tested programs
	$(PYTEST) --deep
	$(MAKE) fuzz

# Hostile bytes for everything that reads a stranger's: by coverage (Atheris) where it installs, by hypothesis else.
fuzz: $(VENV)/tested
	-$(BIN)/pip install --quiet --only-binary :all: --constraint tests/constraints.txt atheris
	$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)

# What CI checks beside the tests.
check: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What the tests reach, in child processes too.
coverage: $(VENV)/tested programs
	$(BIN)/coverage erase
	-$(BIN)/coverage run -m pytest -n 2 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Build the docs site in site/; view it with: .venv/bin/python -m webdemo --directory site. Broken links fail the build.
docs: $(VENV)/tested
	$(BIN)/python -m mkdocs build --quiet --strict

# A wheel and a source distribution of the version in webdemo/__init__.py, in dist/.
dist: $(VENV)/tested
	rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

# How fast it is, beside its peers; writes docs/performance.md. Some minutes on an idle machine.
bench: $(VENV)/tested
	$(BIN)/python -m bench --save

# Chromium and the other real programs that the tests drive (Debian, Ubuntu); others are told their names.
programs:
	sh tests/programs.sh

# Says in one line that a Python is too old, or not there.
define new_venv
$(if $(filter True,$(shell $(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)),,\
$(error $(PYTHON) is not Python 3.11 or newer; name one that is, for example: make $(MAKECMDGOALS) PYTHON=python3.12))
$(PYTHON) -m venv $(VENV)
endef

# One that lost its Python, or was moved with its folder, is made anew: its programs name the old place.
ifneq ($(wildcard $(VENV)),)
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && grep -qF '$(CURDIR)/$(VENV)/' $(BIN)/pip && echo works),works)
$(shell rm -rf $(VENV))
endif
endif

$(VENV)/installed: pyproject.toml
	$(new_venv)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/tested: pyproject.toml tests/constraints.txt
	$(new_venv)
	$(BIN)/pip install --quiet --constraint tests/constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build dist site
