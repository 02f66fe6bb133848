# The plain commands, for an environment that has `pip install -e '.[dev,test,embedded]'`.
PYTHON ?= python3

.PHONY: check test nightly matrix mutants model soak bench compare guard format demo torture libraries reference

# Formatting, lint, types and the import contract.
check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict
	lint-imports

test:
	$(PYTHON) -m pytest

# Everything that is too slow for an ordinary run: takes some hours.
nightly:
	$(PYTHON) -m pytest -m "nightly"
	BIZZMQ_TEST_PER_KIND=24 $(PYTHON) -m pytest tests/model/test_conformance.py
	BIZZMQ_TEST_EXAMPLES=4 $(PYTHON) -m pytest -m "not soak and not matrix" $$(grep -rl --include="*.py" "support.examples import" tests)
	$(PYTHON) -m tests.matrix
	$(PYTHON) -m tests.mutation
	$(PYTHON) -m tests.model
	$(PYTHON) -m tests.soak $(SOAK)
	$(PYTHON) -m tests.libraries

# Real libraries under a pool, each in its own environment (docs/operations/libraries.md).
libraries:
	$(PYTHON) -m tests.libraries

# The rows of the fault matrix: fault, result, recovery p50 and p99, lost, duplicated.
matrix:
	$(PYTHON) -m tests.matrix

# Nightly: each mutation of the Lua must fail some test, and the model of the protocol is explored further.
# `python -m tests.mutation --since COMMIT` tries only the lines that are new since a commit.
mutants:
	$(PYTHON) -m tests.mutation

model:
	$(PYTHON) -m tests.model

# An hour of random faults on one server, on Sentinel and on Cluster, and the tests that take minutes. The report is
# written to soak-report/. Other times and seeds: make soak SOAK="--minutes 12 --seed 7"
soak:
	$(PYTHON) -m tests.soak $(SOAK)

bench:
	$(PYTHON) -m bench all

# Against other queues, which are installed below ~/.cache/bizzmq-bench.
compare:
	$(PYTHON) -m bench compare --quick

# Fails if a message costs 5% more instructions or commands than in bench/guard.json.
guard:
	$(PYTHON) -m bench guard

# docs/reference from the code.
reference:
	$(PYTHON) -m tools.reference

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

demo:
	$(PYTHON) -m bizzmq demo

# A minute of kills, leaks, hangs and broken reloads; fails if a message is lost or wrongly blamed.
torture:
	$(PYTHON) -m bizzmq demo --torture
