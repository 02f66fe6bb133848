"""python -m tests.matrix [--rows P1,R16] [--json FILE] [--markdown FILE] [PYTEST-OPTION ...]: the fault matrix.

Runs the tests of these rows, or of all rows, in one pytest and prints a table: fault, result, recovery p50 and p99,
lost, duplicated. `--list` prints the tables of docs/internals/reliability.md instead and runs nothing. Exit status 1
if a row failed, exceeded a limit, or had no test that ran.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bizzmq.testing.binaries import server_binary
from bizzmq.workers.process import cgroups
from tests.matrix.collector import Collector
from tests.matrix.result import results
from tests.matrix.rows import chosen, remarks, table
from tests.matrix.table import markdown, text

_NO_VERDICT = (2, 3, 4)
"""pytest's exit codes for an interrupted run, an internal error and wrong usage."""


def main() -> int:
    parser = _parser()
    options, of_pytest = parser.parse_known_args()
    try:
        rows = chosen([name for name in options.rows.upper().split(",") if name])
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        _say("\n".join([*table(), "", "| row | what its tests do not show |", "| --- | --- |", *remarks()]))
        return 0
    collector, began_s = Collector(rows), time.monotonic()
    files = dict.fromkeys(file for row in rows for file in row.files)
    # One after the other: a second test at the same time would distort the measurements.
    # pytest rewrites the asserts of a package that has a plugin, and warns if it is imported already, as it is here.
    quiet = ["-W", "ignore:Module already imported so cannot be rewritten"]
    status = int(pytest.main(["-q", "-n0", "-m", "not soak", *quiet, *of_pytest, *files], plugins=[collector]))
    if status in _NO_VERDICT:
        return status
    found = results(rows, collector.outcomes)
    conditions = _conditions(len(collector.outcomes), time.monotonic() - began_s)
    _say(f"\n{text(found)}\n{conditions}")
    if options.json:
        written = {"conditions": conditions, "rows": [result.as_json() for result in found]}
        options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(markdown(found, conditions), encoding="utf-8")
    return 1 if any(result.problems for result in found) else 0


def _conditions(tests: int, seconds: float) -> str:
    version = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    server = " ".join(version.split()[:3])
    return (
        f"{dt.datetime.now(tz=dt.timezone.utc):%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"{cgroups.usable_processors()} processors, Python {platform.python_version()}, {server}: "
        f"{tests} tests in {seconds:.0f} s"
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="", metavar="NAME,...", help="these rows only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured into it")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table into it")
    parser.add_argument("--list", action="store_true", help="show what tests each row, run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
