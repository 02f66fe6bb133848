"""`bizzmq doctor`: check the configuration of the Redis server, and advise."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from bizzmq.broker.broker import open_broker
from bizzmq.doctor.examine import examine
from bizzmq.doctor.findings import Level
from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show

HEALTHY, FAILS = 0, 1


@click.command()
@click.option("--redis-url", "other_url", metavar="URL", help="The server.  [default: the one of bizzmq --redis-url]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--queue", default="", metavar="NAME", help="Check permissions for this queue only.  [default: all]")
@click.pass_obj
def doctor(redis_url: str, other_url: str | None, as_json: bool, queue: str) -> None:
    """Check whether the Redis server is configured to keep messages safe, and advise what to change.

    It changes nothing on the server. Exits with 0 if there is no failure, and with 1 if there is one or the server
    cannot be reached. Warnings are not failures.
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
