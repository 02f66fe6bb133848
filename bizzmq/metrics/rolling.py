"""Replaces the reports in the history of a queue by the chunks that contain them."""

from __future__ import annotations

from typing import Dict, Optional

from bizzmq.broker.broker import Broker
from bizzmq.broker.metrics import roll_up_metrics_call, roll_up_metrics_result
from bizzmq.broker.operations import Operation, Script, command, read_time_ms
from bizzmq.metrics.history import DEPLOY, POOL, REPORT, VERSION, Report, fields_of, is_number, read_report, roll_up
from bizzmq.protocol.keys import QueueKeys

_YOUNG_MS = 50_000
_MANY, _MOST = 200, 500
"""The reports after which the chunks are made at once, and those of one roll-up."""


def roll_up_queue(broker: Broker, queue: str) -> bool:
    """Roll up the reports of a queue or shard if some are old, or many. Whether this was done."""
    return broker.perform(_roll_up(broker.keys(queue)))


def _roll_up(k: QueueKeys) -> Operation[bool]:
    names = yield command("HKEYS", k.metrics)
    reported = [name for name in names if name.startswith(REPORT)][:_MOST]
    if not reported:
        return False
    read = [VERSION, *reported, *(name for name in names if name.startswith((DEPLOY, POOL)))]
    values = dict(zip(read, (yield command("HMGET", k.metrics, *read))))
    now_ms = yield from read_time_ms()
    reports: Dict[bytes, Optional[Report]] = {
        name: read_report(values[name]) for name in reported if values[name] is not None
    }
    oldest_ms = min((report.at_ms for report in reports.values() if report is not None), default=0)
    if now_ms - oldest_ms < _YOUNG_MS and len(reports) < _MANY:
        return False
    fields = fields_of(report for report in reports.values() if report is not None)
    chunks = dict(zip(fields, (yield command("HMGET", k.metrics, *fields)))) if fields else {}
    others = {name: value for name, value in values.items() if value is not None and name.startswith((DEPLOY, POOL))}
    done = roll_up(reports, chunks, others, names, now_ms)
    version = values[VERSION] or b""
    following = b"%d" % (int(version) + 1 if is_number(version) else 1)
    call = roll_up_metrics_call(k, version, following, done.chunks, done.obsolete)
    return roll_up_metrics_result((yield Script("roll_up_metrics", call)))
