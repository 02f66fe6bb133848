"""python -m tests.libraries [--small] [--write] [--logs] [HANDLER ...]: real libraries under a pool; 1 if one fails.

Environments are made below ~/.cache/bizzmq-libraries: one for each set of libraries, and one for all of --small.
"""

from __future__ import annotations

import argparse
import functools
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.libraries import page
from tests.libraries.rows import ROWS
from tests.libraries.runner import Result, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.libraries", description=__doc__.splitlines()[0])
    parser.add_argument("handlers", nargs="*", metavar="HANDLER")
    parser.add_argument("--small", action="store_true", help="only the rows that an ordinary run of CI has")
    parser.add_argument("--write", action="store_true", help="put each result into docs/operations/libraries.md")
    parser.add_argument("--logs", action="store_true", help="show what the pools have written")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="rows that are tried at once (default: 2)")
    options = parser.parse_args()
    unknown = set(options.handlers) - {row.handler for row in ROWS}
    if unknown:
        parser.error(f"there is no such row: {', '.join(sorted(unknown))}")
    chosen = [row for row in ROWS if (not options.handlers or row.handler in options.handlers)
              and (row.small or not options.small)]  # fmt: skip
    shared = sorted({package for row in chosen for package in row.packages}) if options.small else []
    failed = False
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(functools.partial(run, shared=shared), chosen):
            failed |= bool(result.problem)
            _show(result, with_logs=options.logs)
            if options.write:
                page.write(result)
    return int(failed)


def _show(result: Result, *, with_logs: bool) -> None:
    word = "skipped" if result.missing else "FAILED" if result.problem else "ok"
    what = f"needs `apt-get install {result.missing}`" if result.missing else result.preload
    _say(f"{word:<7} {result.took_s:6.1f} s  {result.row.handler}: {what}")
    if result.problem:
        _say(result.problem)
    if with_logs:
        _say(result.logs)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's result


if __name__ == "__main__":
    sys.exit(main())
