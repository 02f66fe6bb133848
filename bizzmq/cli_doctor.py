"""`bizzmq doctor`: whether this server is fit to keep messages, and what to do if not."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from bizzmq import logs
from bizzmq.cli_support import open_broker
from bizzmq.doctor import examine
from bizzmq.doctor_finding import Level
from bizzmq.streams import show

HEALTHY, FAILS = 0, 1


@click.command()
@click.option("--redis-url", "other_url", metavar="URL", help="The server.  [default: that of bizzmq --redis-url]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--queue", default="", metavar="NAME", help="Ask for permissions on this queue's keys.  [default: all]")
@click.pass_obj
def doctor(redis_url: str, other_url: str | None, as_json: bool, queue: str) -> None:
    """Check whether the Redis server is set up to keep messages, and say what to do.

    Changes nothing there. Exits with 0 if nothing fails, and with 1 if something does or the server cannot be
    reached. What is only a warning does not fail.
    """
    with open_broker(other_url or redis_url) as broker:
        findings = examine(broker, queue)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    if as_json:
        rows = [{**asdict(finding), "level": finding.level.value} for finding in findings]
        show(json.dumps({"healthy": not counts[Level.FAIL], "findings": rows}))
    else:
        for finding in findings:
            show(f"{finding.level.value:<4}  {finding.check:<11}  {logs.escape(logs.cut(finding.what))}")
            if finding.do:
                show(f"{'':<17}  -> {logs.escape(logs.cut(finding.do))}")
        show("")
        show(", ".join(f"{count} {level.value}" for level, count in counts.items()))
    sys.exit(FAILS if counts[Level.FAIL] else HEALTHY)
