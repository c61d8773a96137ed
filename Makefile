# make app: everything set up, the timeline loaded, the app served. make test: everything set up, the tests.
# make slow: the tests that take longest (crowds, kills, clusters, full disks); after a change in kb/runs.
# make claims: what the record lacks of every claim with three blocks of seeds and with its idea taken out, and
# the ladders; results/ and RESULTS.md written (a night on two cores if it lacks all).
# make bench: what a person waits for, beside what they would use instead (minutes).
# make device: what an accelerator gives, with PYTHON, which must have a torch for it (under 8 minutes).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: app test slow check claims bench device format clean

app: $(READY)
	@exec $(BIN)/kb serve

# Two processes, each with one thread; the tests of a file share fixtures, so they stay together.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 10

slow: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist load -m slow --durations 10

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/kb check --strict

claims: $(READY)
	$(BIN)/kb record --missing --seed 0 1000 2000
	$(BIN)/kb record --missing --broken
	$(BIN)/kb ladders --record

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.knowledge
	$(BIN)/python -m benchmarks.runs
	$(BIN)/python -m benchmarks.trials
	$(BIN)/python -m benchmarks.app

device:
	$(PYTHON) -m benchmarks.device

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Not compiled: Python compiles what is imported by itself, and much of it never is.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)'; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .kb .pytest_cache .mypy_cache .ruff_cache .hypothesis
