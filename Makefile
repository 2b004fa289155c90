# The set-up in one place: every target makes its own virtual environment, so that it also works
# where the system's Python refuses global installs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes side by side; 0: none beside this one. Most of a test is waiting.
WORKERS ?= 6

# Without bytecode of all that is installed: Python makes that of what is imported.
PIP := $(BIN)/pip install --quiet --no-compile -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup
DEV := $(BIN)/.nrtctl-dev
COMPILED := $(BIN)/.nrtctl-compiled
DOCS := $(BIN)/.nrtctl-docs
CHARTS := $(BIN)/.nrtctl-charts

# How long `make soak` sends events, and where it draws what it saw.
MINUTES ?= 60
PICTURE ?= build/soak.svg

# How many mutants of the pure core `make mutants` tries, and which.
COUNT ?= 51
SEED ?= 1

.PHONY: demo test test-long examples lint docs mutants keys reference pictures soak clean

demo: $(BIN)/python
	test -e $(DEV) || $(PIP) '.[local]'
	$(BIN)/nrtctl demo

test: $(COMPILED)
	$(PYTEST) -m 'not long' $(PYTEST_ARGS)

test-long: $(CHARTS) $(COMPILED)
	$(PYTEST) -m long $(PYTEST_ARGS)

examples: $(COMPILED)
	NRTCTL_TEST_EXAMPLES=random $(PYTEST) tests/unit $(PYTEST_ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS)
	$(BIN)/python -m benchmarks.site

mutants: $(DEV)
	$(BIN)/python -m benchmarks.mutants --count $(COUNT) --seed $(SEED)

keys: $(DEV)
	$(BIN)/python -m benchmarks.configuration_keys

reference: $(DEV)
	$(BIN)/python -m benchmarks.command_reference
	$(BIN)/python -m benchmarks.python_reference

pictures: $(DEV)
	$(BIN)/python -m benchmarks.pictures

soak: $(CHARTS)
	mkdir -p $(dir $(PICTURE))
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --picture $(PICTURE)

$(DEV): pyproject.toml constraints.txt hatch_build.py $(wildcard src/nrtctl/kafka/native/*.[ch]) | $(BIN)/python
	$(PIP) -e '.[dev,local]'
	touch $@

$(DOCS): pyproject.toml constraints.txt hatch_build.py $(wildcard src/nrtctl/kafka/native/*.[ch]) | $(BIN)/python
	$(PIP) -e '.[dev,docs,local]'
	touch $(DEV) $@

# Test processes that begin at the same time would each compile all modules.
$(COMPILED): $(DEV)
	$(BIN)/python -m pytest --collect-only --quiet >/dev/null
	touch $@

$(CHARTS): $(DEV)
	$(PIP) -e '.[charts,dev,local]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist
