"""`bizzmq audit`: whether every message of a queue is where it belongs, and what to do if not."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from bizzmq import logs
from bizzmq.audit import Diagnosis, audit
from bizzmq.books import Books
from bizzmq.cli_support import Number, open_broker
from bizzmq.findings import Finding
from bizzmq.lease import LeaseOptions
from bizzmq.repair import repair
from bizzmq.streams import show

_SHOWN = 10
BALANCED, REMAIN = 0, 1


@click.command("audit")
@click.argument("queue")
@click.option("--repair", "mend", is_flag=True, help="Mend what can be mended. Loses no message.")
@click.option("--write-off", is_flag=True, help="Also accept a difference of the books that nothing explains.")
@click.option("--lease", type=Number(min=0), default=LeaseOptions().lease_s, show_default=True,
              metavar="SECONDS", help="As the pools have it: so long a supervisor may be missing.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def audit_command(redis_url: str, queue: str, *, mend: bool, write_off: bool, lease: float, as_json: bool) -> None:
    """Check that every message of QUEUE and of its dead-letter queue is accounted for and where it belongs.

    Safe while the queue is in use. Exits with 0 if all is well, or mended, and with 1 if findings remain.
    """
    if write_off and not mend:
        raise click.UsageError("--write-off needs --repair")
    with open_broker(redis_url) as broker:
        mended: list[tuple[Finding, int]] = []
        if mend:
            mended, found = repair(broker, queue, lease, accept=write_off)
        else:
            found = audit(broker, queue, lease)
        name = broker.keys(queue).owner
    if as_json:
        show(json.dumps(_document(name, mended, found)))
    else:
        _show(mended, found)
    sys.exit(BALANCED if found.balanced else REMAIN)


def _document(queue: str, mended: list[tuple[Finding, int]], found: Diagnosis) -> dict[str, Any]:
    return {
        "queue": queue,
        "balanced": found.balanced,
        "books": {one.queue: {**_numbers(one), "places": dict(one.places)} for one in found.books},
        "findings": [{**_entry(finding), "count": len(finding.subjects)} for finding in found.findings],
        "mended": [{**_entry(finding), "count": count} for finding, count in mended],
    }


def _numbers(one: Books) -> dict[str, Any]:
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


def _show(mended: list[tuple[Finding, int]], found: Diagnosis) -> None:
    for first in range(0, len(found.books), 2):  # a queue and its dead-letter queue; further ones are of its shards
        _show_books(found.books[first : first + 2])
    for finding, _ in mended:
        _block("mended", finding, "", finding.done or "written off, as asked for")
    for finding in found.findings:
        _block("FINDING", finding, "-> ", finding.do)
    if found.balanced:
        show("Balanced: every message is accounted for, and where it belongs.")
    else:
        mendable = sum(bool(finding.done) for finding in found.findings)
        show(f"Findings: {len(found.findings)}, of which --repair can mend {mendable}.")


def _show_books(books: tuple[Books, ...]) -> None:
    rows = [("", [one.queue for one in books]), *_rows(books)]
    text = [(name, [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells]) for name, cells in rows]
    width = max(len(cell) for _, cells in text for cell in cells)
    for name, cells in text:
        show(f"{name:<20}" + "".join(f"  {cell:>{width}}" for cell in cells))
    show("")


def _rows(books: tuple[Books, ...]) -> list[tuple[str, list[Any]]]:
    rows: list[tuple[str, list[Any]]] = []
    for sign, parts in (("+", [one.came for one in books]), ("-", [one.went for one in books])):
        names = dict.fromkeys(name for part in parts for name in part)
        rows += [(f"{sign} {name}", [part.get(name, "") for part in parts]) for name in names]
    if any(one.written_off for one in books):
        rows.append(("- written off", [one.written_off for one in books]))
    rows.append(("= should be stored", [one.stored + one.difference for one in books]))
    rows.append(("stored", [one.stored for one in books]))
    rows += [(f"  {name}", [one.places[name] for one in books]) for name in books[0].places]
    rows.append(("unaccounted for", [one.difference for one in books]))
    return rows


def _block(word: str, finding: Finding, arrow: str, then: str) -> None:
    show(f"{word}  {finding.kind.value}, {finding.queue}: {logs.escape(logs.cut(finding.what))}")
    for subject in finding.subjects[:_SHOWN]:
        show(f"    {logs.escape(logs.cut(subject))}")
    if len(finding.subjects) > _SHOWN:
        show(f"    ... and {len(finding.subjects) - _SHOWN:,} more (--json names all)")
    show(f"  {arrow}{logs.escape(logs.cut(then))}")
    show("")
