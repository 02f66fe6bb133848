"""A worker of an app in the process of the test."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, List, Mapping

from bizzmq.app.app import App
from bizzmq.app.in_tests.idle_run import IdleRun, Limits, LoggingHandler
from bizzmq.app.in_tests.inline import MAX_RUNS
from bizzmq.app.published import Run


class InProcessWorker:
    """Runs messages in the thread of the test, with the app's hooks for the start and the end of a worker.

    Args:
        app: the app, connected to a server.

    Attributes:
        app: the app.
        runs: all attempts so far, in the order in which they ran.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.runs: List[Run] = []
        self._made_for: Mapping[str, Any] = app.tasks
        self._handler = LoggingHandler(app.dispatcher())

    def boot(self) -> None:
        """Call the hooks that a worker calls before its first message. Raises HandlerImportError."""
        self._handler.boot()

    def shut_down(self) -> None:
        """Call the hooks that a worker calls at its end."""
        self._handler.shut_down()
        self._handler.close()

    def run_until_idle(
        self,
        timeout_s: float | timedelta | None = 30.0,
        *,
        advance: bool = True,
        reraise: bool = False,
        max_runs: int = MAX_RUNS,
    ) -> List[Run]:
        """Run everything until nothing is left: see `App.run_until_idle`."""
        limits = Limits.checked(timeout_s, max_runs, advance=advance, reraise=reraise)
        if self.app.tasks != self._made_for:  # the test has declared more
            self._handler.close()
            self._made_for, self._handler = self.app.tasks, LoggingHandler(self.app.dispatcher())
        idle_run = IdleRun(self.app, limits, self._handler)
        try:
            return idle_run.run()
        finally:
            self.runs += idle_run.runs

    def advance_clock(self, seconds: float | timedelta) -> int:
        """Move the clock of delayed messages forward: see `App.advance_clock`."""
        return self.app.advance_clock(seconds)

    @property
    def failures(self) -> List[Run]:
        """The attempts after which a message was dead-lettered or discarded."""
        return [run for run in self.runs if run.is_final_failure]
