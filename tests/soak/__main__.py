"""`python -m tests.soak --minutes 60 --out DIRECTORY`, from the project's root; `make soak`."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import click

from bizzmq.utils import logs
from tests.soak import plots, report
from tests.soak.sites import SITES
from tests.soak.topology import RATE_HZ, Soaked, soak
from tests.support.paths import ROOT

_TESTS = [sys.executable, "-m", "pytest", "-q", "-m", "soak", "--ignore=tests/soak"]


@click.command()
@click.option("--minutes", type=click.FloatRange(0.05), default=60.0, show_default=True, help="Of faults, in total.")
@click.option("--seed", type=click.IntRange(0), help="Draw the same faults again.  [default: another one each time]")
@click.option(
    "--on", "names", multiple=True, type=click.Choice(list(SITES)), help="These only.  [default: all in turn]"
)
@click.option("--rate", type=click.FloatRange(1), default=RATE_HZ, show_default=True, help="Messages each second.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("soak-report"), show_default=True,
              help="Where report.json, report.md, the plots, and the logs of what went wrong go.")  # fmt: skip
@click.option("--tests/--no-tests", default=True, show_default=True, help="Run `pytest -m soak`, too.")
def main(minutes: float, seed: int | None, names: tuple[str, ...], rate: float, out: Path, *, tests: bool) -> None:
    """Random faults on one server, on Sentinel and on Cluster in turn, and a report.

    Exits with 1 if a message was lost, an invariant broke, memory, descriptors or connections grow steadily, or a test
    marked `soak` fails.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    logs.configure("error", "text")  # the outages are injected
    seed = random.randrange(1_000_000) if seed is None else seed
    names = names or tuple(SITES)
    click.echo(f"seed {seed}: {minutes * 60 / len(names):.0f} s on each of {', '.join(names)}")
    if not plots.is_possible():
        click.echo("no plots: they need the package matplotlib: pip install matplotlib")
    facts = report.conditions(seed)
    done: list[Soaked] = []
    pictures: list[Path] = []
    for name in names:
        done.append(_one(name, minutes * 60 / len(names), seed, rate, out))
        if plots.is_possible():
            out.mkdir(parents=True, exist_ok=True)
            pictures.append(plots.draw(done[-1], out))
        report.write(out, facts, done, pictures)
    code = subprocess.run(_TESTS, cwd=ROOT, check=False).returncode if tests else None
    for path in (*report.write(out, facts, done, pictures, code), *pictures):
        click.echo(f"written: {path}")
    sys.exit(1 if code or any(one.problems() for one in done) else 0)


def _one(name: str, seconds: float, seed: int, rate: float, out: Path) -> Soaked:
    """Run the soak on one topology; keep the logs if there are problems."""
    begin_s = time.monotonic()

    def tell(kind: str, about: str) -> None:
        click.echo(f"{time.monotonic() - begin_s:8.2f} s  {name}  {kind}: {about}")

    with tempfile.TemporaryDirectory(prefix="bizzmq-soak-") as scratch:
        one = soak(name, seconds, seed, Path(scratch) / name, tell, rate)
        if one.problems():
            shutil.copytree(str(Path(scratch) / name), str(out / f"logs-{name}"), dirs_exist_ok=True)
    for label, value in one.verdict.rows().items():
        click.echo(f"{name}  {label:<29} {value}")
    for problem in one.problems():
        click.echo(f"{name}  PROBLEM  {problem}")
    return one


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
