"""python -m tests.mutation [SCRIPT[:LINE] ...] [OPTION ...]: mutants that no test finds.

Without names, the scripts in the first table of docs/internals/mutants.md are tried. Exit status 1 if a survivor has no
row in docs/internals/mutants.md, or if a row names a killed mutant; 2 if the tests fail on the unchanged scripts.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Collection, List

from tests.mutation import changes, survivors
from tests.mutation.mutants import Mutant, all_mutants
from tests.mutation.rows import BaselineError
from tests.mutation.runner import KILLED, Verdict, run


def main() -> int:
    options = _parser().parse_args()
    documented = survivors.PATH.read_text(encoding="utf-8")
    mutants = _named(options.scripts or survivors.tried(documented))
    if options.again:
        again = survivors.known(options.again.read_text(encoding="utf-8"))
        mutants = [mutant for mutant in mutants if mutant.key in again]
    if options.since:
        lines = changes.lines_since(options.since)
        mutants = [mutant for mutant in mutants if mutant.line in lines.get(mutant.script, ())]
    if options.list:
        _say("\n".join(map(str, mutants)))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no test outlives the run
    started_s = time.monotonic()
    verdicts: List[Verdict] = []
    try:
        for verdict in run(mutants, options.processes, options.tests, rows_only=options.rows):
            verdicts.append(verdict)
            if verdict.fate != KILLED:
                _say(f"[{len(verdicts)}/{len(mutants)}] {verdict.fate}: {verdict.mutant}")
    except BaselineError as error:
        _say(f"{error}\nThe tests fail on the unchanged scripts, so they would kill every mutant.")
        return 2
    _say(table(verdicts))
    known = survivors.known(documented)
    alive = [verdict.mutant for verdict in verdicts if verdict.fate != KILLED]
    unexplained = [mutant for mutant in alive if mutant.key not in known]
    outdated = {mutant.key for mutant in mutants} & set(known) - {mutant.key for mutant in alive}
    _report("survived, and mutants.md does not say why", [survivors.row(one, "?") for one in unexplained])
    _report("explained in mutants.md, but killed", [" ".join(key) for key in sorted(outdated)])
    _say(f"{totals(verdicts)}, {time.monotonic() - started_s:.0f} s")
    return 1 if unexplained or outdated else 0


def _named(names: Collection[str]) -> List[Mutant]:
    """Mutants of scripts, or of single lines: `claim`, `claim:7`."""
    return [mutant for mutant in all_mutants() if {mutant.script, f"{mutant.script}:{mutant.line}"} & {*names}]


def table(verdicts: List[Verdict]) -> str:
    """Figures for each script."""
    fates: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        fates.setdefault(verdict.mutant.script, Counter())[verdict.fate] += 1
    rows = [f"| {name}.lua | {sum(counts.values())} | {counts[KILLED]} | {sum(counts.values()) - counts[KILLED]} |"
            for name, counts in sorted(fates.items())]  # fmt: skip
    return "\n".join(["| script | mutants | killed | survived |", "| --- | ---: | ---: | ---: |", *rows])


def totals(verdicts: List[Verdict]) -> str:
    """Figures for all scripts, and what has killed the mutants."""
    killed = [verdict for verdict in verdicts if verdict.fate == KILLED]
    by_rows = sum(verdict.by_row for verdict in killed)
    return (
        f"{len(verdicts)} mutants: {by_rows} killed by rows, {len(killed) - by_rows} by tests, "
        f"{len(verdicts) - len(killed)} survived"
    )


def _report(title: str, lines: List[str]) -> None:
    if lines:
        _say("\n".join([f"{len(lines)} {title}:", *lines]))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT[:LINE]")
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="only the survivors in this output of an earlier run"
    )
    parser.add_argument("--tests", nargs="+", default=(), metavar="FILE", help="after the rows, run these tests only")
    parser.add_argument("--rows", action="store_true", help="try the rows only, run no tests")
    parser.add_argument("--since", metavar="COMMIT", help="only mutants of the lines that are new since this commit")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="show the mutants, run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
