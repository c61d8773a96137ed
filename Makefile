# make app: everything set up, the timeline loaded, the app served. make test: everything set up, the tests.
# make claims: every claim measured anew, results/ and the README's table written (under an hour on two cores).
# make bench: what a person waits for, beside what they would use instead (minutes).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: app test check claims bench format clean

app: $(READY)
	@exec $(BIN)/kb serve

test: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/kb check

claims: $(READY)
	$(BIN)/kb record

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.knowledge
	$(BIN)/python -m benchmarks.runs
	$(BIN)/python -m benchmarks.app

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .kb .pytest_cache .mypy_cache .ruff_cache .hypothesis
