"""`bizzmq audit`: check that every message of a queue is accounted for, and repair damage."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from bizzmq.audit.accounts import Accounts
from bizzmq.audit.audit import Diagnosis, audit
from bizzmq.audit.findings import Finding
from bizzmq.audit.repair import repair
from bizzmq.broker.broker import open_broker
from bizzmq.cli.helpers import Number
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show

_SHOWN = 10
BALANCED, REMAIN = 0, 1


@click.command("audit")
@click.argument("queue")
@click.option("--repair", "repairs", is_flag=True, help="Repair the findings that can be repaired. Loses no message.")
@click.option("--write-off", is_flag=True, allow_from_autoenv=False,
              help="Also accept an unexplained difference of the totals as lost.")  # fmt: skip
@click.option("--lease", type=Number(min=0), default=LeaseOptions().lease_s, show_default=True,
              metavar="SECONDS", help="How long a supervisor may be missing; the same as for the pools.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def audit_command(redis_url: str, queue: str, *, repairs: bool, write_off: bool, lease: float, as_json: bool) -> None:
    """Check that every message of QUEUE and its dead-letter queue is accounted for and in the right place.

    Safe while the queue is in use. Exits with 0 if there are no findings or all were repaired, and with 1 if findings
    remain.
    """
    if write_off and not repairs:
        raise click.UsageError("--write-off needs --repair")
    with open_broker(redis_url) as broker:
        repaired: list[tuple[Finding, int]] = []
        if repairs:
            repaired, found = repair(broker, queue, lease, accept=write_off)
        else:
            found = audit(broker, queue, lease)
        name = broker.keys(queue).owner
    if as_json:
        show(json.dumps(_document(name, repaired, found)))
    else:
        _show(repaired, found)
    sys.exit(BALANCED if found.balanced else REMAIN)


def _document(queue: str, repaired: list[tuple[Finding, int]], found: Diagnosis) -> dict[str, Any]:
    return {
        "queue": queue,
        "balanced": found.balanced,
        "books": {one.queue: {**_numbers(one), "places": dict(one.places)} for one in found.accounts},
        "findings": [{**_entry(finding), "count": len(finding.subjects)} for finding in found.findings],
        "mended": [{**_entry(finding), "count": count} for finding, count in repaired],
    }


def _numbers(one: Accounts) -> dict[str, Any]:
    return {
        "came": dict(one.came),
        "went": dict(one.went),
        "written_off": one.written_off,
        "stored": one.stored,
        "difference": one.difference,
    }


def _entry(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "queue": finding.queue,
        "what": finding.what,
        "do": finding.do,
        "subjects": list(finding.subjects),
    }


def _show(repaired: list[tuple[Finding, int]], found: Diagnosis) -> None:
    for first in range(0, len(found.accounts), 2):  # a queue and its dead-letter queue, for each shard
        _show_books(found.accounts[first : first + 2])
    for finding, _ in repaired:
        _block("repaired", finding, "", finding.done or "written off, as requested")
    for finding in found.findings:
        _block("FINDING", finding, "-> ", finding.do)
    if found.balanced:
        show("Balanced: every message is accounted for and in the right place.")
    else:
        repairable = sum(bool(finding.done) for finding in found.findings)
        show(f"Findings: {len(found.findings)}, of which --repair can repair {repairable}.")


def _show_books(accounts: tuple[Accounts, ...]) -> None:
    rows = [("", [one.queue for one in accounts]), *_rows(accounts)]
    text = [(name, [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells]) for name, cells in rows]
    width = max(len(cell) for _, cells in text for cell in cells)
    for name, cells in text:
        show(f"{name:<20}" + "".join(f"  {cell:>{width}}" for cell in cells))
    show("")


def _rows(accounts: tuple[Accounts, ...]) -> list[tuple[str, list[Any]]]:
    rows: list[tuple[str, list[Any]]] = []
    for sign, parts in (("+", [one.came for one in accounts]), ("-", [one.went for one in accounts])):
        names = dict.fromkeys(name for part in parts for name in part)
        rows += [(f"{sign} {name}", [part.get(name, "") for part in parts]) for name in names]
    if any(one.written_off for one in accounts):
        rows.append(("- written off", [one.written_off for one in accounts]))
    rows.append(("= should be stored", [one.stored + one.difference for one in accounts]))
    rows.append(("stored", [one.stored for one in accounts]))
    rows += [(f"  {name}", [one.places.get(name, 0) for one in accounts]) for name in accounts[0].places]
    rows.append(("unaccounted for", [one.difference for one in accounts]))
    return rows


def _block(word: str, finding: Finding, arrow: str, then: str) -> None:
    show(f"{word}  {finding.kind.value}, {finding.queue}: {logs.escape(logs.cut(finding.what))}")
    for subject in finding.subjects[:_SHOWN]:
        show(f"    {logs.escape(logs.cut(subject))}")
    if len(finding.subjects) > _SHOWN:
        show(f"    ... and {len(finding.subjects) - _SHOWN:,} more (--json shows all)")
    show(f"  {arrow}{logs.escape(logs.cut(then))}")
    show("")
