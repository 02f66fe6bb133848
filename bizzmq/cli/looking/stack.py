"""`bizzmq stack`: the Python stacks of a worker on any host."""

from __future__ import annotations

import click

from bizzmq.broker.broker import open_broker
from bizzmq.cli.cancel import by_option
from bizzmq.control import pool_requests
from bizzmq.control.cancel import checked_by
from bizzmq.protocol.pool_request import request_id
from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show

timeout_option = click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=pool_requests.TIMEOUT_S,
                              show_default=True, metavar="SECONDS", allow_from_autoenv=False,
                              help="How long to wait for the answer.")  # fmt: skip


@click.command()
@click.argument("worker_or_message_id", metavar="ID")
@click.option("--queue", "-q", metavar="QUEUE", help="Search only this queue.")
@by_option
@timeout_option
@click.pass_obj
def stack(redis_url: str, worker_or_message_id: str, *, queue: str | None, by: str, timeout_s: float) -> None:
    """Show what a worker executes at this moment: ID is a worker, or a message that a worker runs.

    It works for pools on any host, also while the handler is in C code. Without --queue, all queues are searched.
    """
    with open_broker(redis_url) as broker:
        k = None if queue is None else broker.keys(queue)
        begin = pool_requests.send_stack(k, worker_or_message_id, checked_by(by), request_id())
        asked = broker.perform(begin)
        text = pool_requests.answer_within(
            lambda operation, *arguments: broker.perform(operation(*arguments)), asked, timeout_s
        )
    for line in text.splitlines():
        show(logs.escape(line))
