# The set-up in one place: every target makes its own virtual environment, so that it also works
# where the system's Python refuses global installs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes side by side; 0: none beside this one. Most of a test is waiting.
WORKERS ?= 4

.PHONY: demo test lint pictures clean

demo: $(BIN)/python
	$(BIN)/pip install --quiet -c constraints.txt '.[local]'
	$(BIN)/nrtctl demo

test: $(BIN)/python
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,local]'
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

lint: $(BIN)/python
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,local]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: $(BIN)/python
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,local]'
	$(BIN)/python -m benchmarks.pictures

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist
