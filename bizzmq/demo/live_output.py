"""The output of a running torture: a line for each fault and event, and on a terminal a progress bar below them."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, Mapping

from bizzmq.utils import clock
from bizzmq.utils.logs import escape
from bizzmq.utils.standard_streams import show

_BAR_WIDTH = 40
_NEWS = {
    "reload failed, the old code stays": ("error",),
    "reloaded": ("generation",),
    "each worker imports by itself": ("why",),
    "the template has died, starting another one": (),
    "the handler cannot be imported any more": ("error",),
    "the janitor has died, starting another one": (),
    "message quarantined, it has killed its workers": ("id", "reason"),
    "many different messages of this queue kill workers, its claims pause": ("pause_s",),
    "worker has grown, replacing it": ("memory_mb",),
    "worker died": ("pid", "how"),
}
"""The events of the pool's log that are shown, with the fields that are shown."""


class LiveOutput:
    """Writes lines, the bar and tables to standard output.

    Args:
        seconds: how long the torture takes, for the bar.

    Attributes:
        faults: the number of injected faults of each kind.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begin_s = clock.monotonic()
        self._is_terminal = sys.stdout.isatty()
        self._bar = ""
        self.faults: Counter[str] = Counter()

    def line(self, who: str, text: str) -> None:
        """Show a line with the time, in seconds since this object was created."""
        self._clear()
        show(f"{clock.monotonic() - self._begin_s:7.2f} s  {who:<5}  {escape(text)}")
        self._draw()

    def injected(self, what: str, about: str = "") -> None:
        """Show and count a fault that was injected."""
        self.faults[what] += 1
        self.line("does", f"{what}: {about}" if about else what)

    def logged(self, event: Mapping[str, Any]) -> None:
        """Show an event of the pool's log, if it is one of the events to show."""
        names = _NEWS.get(event["event"])
        if names is not None:
            about = ", ".join(f"{name} {event[name]}" for name in names if name in event)
            self.line("pool", f"{event['event']}: {about}" if about else str(event["event"]))

    def progress(self, label: str, done: int, total: int) -> None:
        """Draw the bar, if stdout is a terminal."""
        if not self._is_terminal:
            return
        share = min(1.0, (clock.monotonic() - self._begin_s) / self._seconds)
        filled = round(share * _BAR_WIDTH)
        bar = f"{label} [{'#' * filled}{'-' * (_BAR_WIDTH - filled)}] {done:,} of {total:,} messages settled"
        if bar != self._bar:
            self._clear()
            self._bar = bar
            self._draw()

    def table(self, rows: Mapping[str, Any]) -> None:
        """Show names and values, after all lines."""
        self._clear()
        self._bar = ""
        show()
        for name, value in rows.items():
            shown = f"{value:,}" if isinstance(value, int) else value
            show(f"{name:<20} {shown}")

    def _clear(self) -> None:
        if self._bar:
            show("\r\x1b[K", end="")

    def _draw(self) -> None:
        if self._bar:
            show(self._bar, end="")
