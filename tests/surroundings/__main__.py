"""python -m tests.surroundings [--small] [--write] [MODULE ...]: real libraries under a pool; 1 if one fails.

Environments are made below ~/.cache/bizzmq-surroundings, one for each set of libraries.
"""

from __future__ import annotations

import argparse
import sys

from tests.support.paths import ROOT
from tests.surroundings.rows import ROWS
from tests.surroundings.runner import run, table

PAGE = ROOT / "docs" / "surroundings.md"
BEGIN, END = "<!-- rows -->", "<!-- end of rows -->"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.surroundings", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--small", action="store_true", help="only the rows that an ordinary run of CI has")
    parser.add_argument("--write", action="store_true", help="put the table into docs/surroundings.md")
    options = parser.parse_args()
    unknown = set(options.modules) - {row.module for row in ROWS}
    if unknown:
        parser.error(f"there is no such row: {', '.join(sorted(unknown))}")
    chosen = [row for row in ROWS if (not options.modules or row.module in options.modules)
              and (row.small or not options.small)]  # fmt: skip
    results = []
    for row in chosen:
        result = run(row)
        results.append(result)
        _say(f"{'ok' if not result.problem else 'FAILED':<7} {result.took_s:6.1f} s  {row.module}: {result.preload}")
        if result.problem:
            _say(result.problem)
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        rows = "\n".join(table(results))
        PAGE.write_text(f"{before}{BEGIN}\n{rows}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return int(any(result.problem for result in results))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's result


if __name__ == "__main__":
    sys.exit(main())
