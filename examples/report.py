"""Typed arguments, and a new version of a task whose old messages still wait.

Arguments are checked when they are published and again in the worker: a date arrives as a date. Version 1 of the task
took a year and a month; its messages are turned into those of version 2 when a worker runs them.

    bizzmq-worker report:app                 # one terminal
    python report.py 2026-11-01 html         # another one
    python report.py --old 2026 11           # publishes what the last release published
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Dict, List

from bizzmq import App, ArgumentsError

app = App()


class Format(Enum):
    TEXT = "text"
    HTML = "html"


@dataclass
class Report:
    month: date
    format: Format
    lines: List[str]


@app.task(name="reports.monthly", version=2, result_ttl_s=3600, max_retries=3, retry_on=OSError)
def monthly(month: date, format: Format = Format.TEXT) -> Report:  # noqa: A002 - the word that its callers use
    lines = [f"{day} sold" for day in range(1, 4)]
    return Report(month, format, [f"<li>{line}" if format is Format.HTML else line for line in lines])


@monthly.upgrade(1)
def from_year_and_month(arguments: Dict[str, Any]) -> Dict[str, Any]:
    """Version 1 was monthly(year, month)."""
    return {"month": f"{arguments['year']:04}-{arguments['month']:02}-01"}


def publish_as_the_last_release(year: int, month: int) -> Any:
    """What a program that was not deployed yet does."""
    old_app = App(app.redis_url)

    @old_app.task(name="reports.monthly", result_ttl_s=3600)
    def old(year: int, month: int) -> Any: ...

    return monthly.handle(old.publish(year, month).id)


def main(words: List[str]) -> None:
    if words[0] == "--old":
        handle = publish_as_the_last_release(int(words[1]), int(words[2]))
    else:
        handle = monthly.publish(date.fromisoformat(words[0]), Format(words[1]))
    report = handle.result(timeout_s=60)
    print(report.month.strftime("%B %Y"), report.format, *report.lines, sep="\n")
    try:
        monthly.publish("2026-11-01")  # type: ignore[arg-type]  # a text is no date: type checkers report it, too
    except ArgumentsError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["2026-11-01", "text"])
