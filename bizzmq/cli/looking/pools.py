"""`bizzmq pools`: all pools on all hosts."""

from __future__ import annotations

import json
from typing import Any

import click

from bizzmq.admin.activity.pools import PoolInfo
from bizzmq.admin.stats import read_all_pools
from bizzmq.broker.broker import open_broker
from bizzmq.cli.tables import ago, table
from bizzmq.utils.standard_streams import show

_HEAD = ("host", "pid", "state", "workers", "busy", "queues", "runs", "code", "bizzmq", "python", "beat")


@click.command()
@click.option("--queue", "-q", metavar="QUEUE", help="Only the pools that serve this queue.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def pools(redis_url: str, *, queue: str | None, as_json: bool) -> None:
    """List all pools and in-process consumers, on all hosts, as they have reported with their last heartbeats."""
    with open_broker(redis_url) as broker:
        found = broker.perform(read_all_pools(None if queue is None else broker.keys(queue)))
        if queue is not None and not found:
            broker.options(queue)  # raises QueueNotFoundError
    if as_json:
        show(json.dumps([pool.as_dict() for pool in found]))
        return
    table(
        [_row(pool) for pool in found],
        _HEAD,
        optional=("python", "bizzmq", "code", "runs"),
        cut={"host": 12, "queues": 10, "runs": 10, "code": 7},
    )


def _row(pool: PoolInfo) -> list[Any]:
    beat = "?" if pool.beat_ago_s is None else ago(pool.beat_ago_s)
    return [
        pool.host, str(pool.pid or ""), pool.state, pool.workers, pool.busy, ",".join(pool.queues), pool.target,
        pool.code, pool.version, pool.python, beat,
    ]  # fmt: skip
