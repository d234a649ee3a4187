# `make run` and `make test` set up what they need; CONTRIBUTING.md lists all commands.

PYTHON ?= python3
# Passed as a flag: PORT in the environment would make webdemo listen on every address.
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin

# One worker more than CI has processors: most tests wait for servers now and then.
PYTEST := PYTHONDEVMODE=1 $(BIN)/python -m pytest -n 3 --dist worksteal

# Seconds for each target of a fuzz run.
FUZZ_SECONDS ?= 60

LOWEST_TESTS := $(addprefix tests/,cli client middleware net services servers stats supervisor trace web worker)

.PHONY: run test deep fuzz lowest check coverage docs dist bench programs clean

run: $(VENV)/installed
	env -u PORT $(BIN)/python -m webdemo --port $(PORT)

test: $(VENV)/tested programs
	$(PYTEST)

# Every test, including the slow ones: all servers, proxies, many clients; then lowest versions, and the fuzz run.
deep: $(VENV)/tested programs
	$(PYTEST) --deep
	$(MAKE) lowest fuzz

# Fuzz every parser of untrusted input: guided by coverage (Atheris) if it can be installed, otherwise hypothesis.
fuzz: $(VENV)/tested
	-$(BIN)/pip install --quiet --only-binary :all: --constraint tests/constraints.txt atheris
	$(BIN)/python -m tests.fuzz $(FUZZ_SECONDS)

# The tests of what imports other packages, with the lowest version of each that pyproject.toml allows.
lowest: $(VENV)/tested programs
	$(BIN)/python -m venv build/lowest
	build/lowest/bin/pip install --quiet --constraint tests/constraints.txt --editable '.[test]'
	$(BIN)/python -m scripts.lowest | build/lowest/bin/pip install --quiet --no-deps --requirement /dev/stdin
	build/lowest/bin/python -m pytest -n 3 --dist worksteal $(LOWEST_TESTS)

# The static checks of CI.
check: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Test coverage, including child processes.
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

# Benchmarks against peers; writes docs/performance.md. Some minutes on an idle machine.
bench: $(VENV)/tested
	$(BIN)/python -m bench --save

# Install Chromium and other programs that the tests use (Debian, Ubuntu); elsewhere only list them.
programs:
	sh tests/programs.sh

# Fail with one line if Python is missing or too old.
define new_venv
$(if $(filter True,$(shell $(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)),,\
$(error $(PYTHON) is not Python 3.11 or newer; name one that is, for example: make $(MAKECMDGOALS) PYTHON=python3.12))
$(PYTHON) -m venv $(VENV)
endef

# Recreate a venv whose Python is gone, or that was moved: its scripts contain the old path.
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
