# The plain commands, for an environment that has `pip install -e '.[dev,test,embedded]'`.
PYTHON ?= python3

.PHONY: check test nightly matrix mutants model soak bench compare guard format demo torture surroundings

# Formatting, lint, types and the import contract.
check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict
	lint-imports

test:
	$(PYTHON) -m pytest

# All that an ordinary run has no time for: some hours.
nightly:
	$(PYTHON) -m pytest -m "nightly"
	$(PYTHON) -m tests.matrix
	$(PYTHON) -m tests.mutation
	$(PYTHON) -m tests.model
	$(PYTHON) -m tests.soak $(SOAK)
	$(PYTHON) -m tests.surroundings

# Real libraries under a pool, each in an environment of its own (docs/surroundings.md).
surroundings:
	$(PYTHON) -m tests.surroundings

# Every row of the fault matrix: its fault, result, recovery p50 and p99, lost, duplicated.
matrix:
	$(PYTHON) -m tests.matrix

# Nightly: each mistake in the Lua must fail some test, and the protocol's model is explored further. With
# `python -m tests.mutation --since COMMIT` only the lines that are new since a commit are tried.
mutants:
	$(PYTHON) -m tests.mutation

model:
	$(PYTHON) -m tests.model

# An hour of random faults on one server, on Sentinel and on Cluster, and the tests that need minutes; the report goes
# to soak-report/. Another time or seed: make soak SOAK="--minutes 12 --seed 7"
soak:
	$(PYTHON) -m tests.soak $(SOAK)

bench:
	$(PYTHON) -m bench all

# Against other queues; what is not installed yet is, below ~/.cache/bizzmq-bench.
compare:
	$(PYTHON) -m bench compare --quick

# Fails if a message costs 5% more instructions or commands than bench/guard.json says.
guard:
	$(PYTHON) -m bench guard

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

demo:
	$(PYTHON) -m bizzmq demo

# A minute of kills, leaks, hangs and broken reloads; fails unless the balance is right.
torture:
	$(PYTHON) -m bizzmq demo --torture
