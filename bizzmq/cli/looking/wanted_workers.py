"""`bizzmq wanted-workers`: how many workers queues need, for autoscalers."""

from __future__ import annotations

import json

import click

from bizzmq.admin.stats import stats
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.cli.helpers import Duration
from bizzmq.metrics.wanted import GOAL_S, RUN_S, QueueNeed, need_of, read_run_times, wanted
from bizzmq.utils.standard_streams import show


@click.command("wanted-workers")
@click.argument("queues", nargs=-1, required=True, metavar="QUEUE...")
@click.option("--goal", "goal_s", type=Duration(min=0.1, max=86_400), default=f"{GOAL_S:g}s", show_default=True,
              metavar="SPAN", help="What waits now is to be begun within this time.")  # fmt: skip
@click.option("--run-time", "run_s", type=Duration(min=0.0001, max=86_400 * 30), default=f"{RUN_S:g}s",
              show_default=True, metavar="SPAN",
              help="The run time of a message, while nothing has run within a day.")  # fmt: skip
@click.option("--workers-per-pool", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="N",
              help="--concurrency of one pool. The answer is then the number of pools.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with the numbers from which it is made.")
@click.pass_obj
def wanted_workers(
    redis_url: str, queues: tuple[str, ...], *, goal_s: float, run_s: float, workers_per_pool: int, as_json: bool
) -> None:
    """Show how many workers QUEUES need: a number for scripts and autoscalers.

    What waits counts with its measured run time, what runs counts too, and so does the load of the last five minutes.
    A pool with a health port answers the same at GET /wanted.
    """
    with open_broker(redis_url) as broker:
        needs = [_need(broker, queue, goal_s, run_s) for queue in dict.fromkeys(queues)]
    found = wanted(needs, workers_per_pool)
    show(json.dumps(found) if as_json else f"{found['wanted_pools']}")


def _need(broker: Broker, queue: str, goal_s: float, run_s: float) -> QueueNeed:
    counts = stats(broker, queue)
    runs = broker.perform(read_run_times(broker.keys(queue)))
    return need_of(queue, counts.waiting, counts.delayed, counts.processing, runs, goal_s=goal_s, assumed_run_s=run_s)
