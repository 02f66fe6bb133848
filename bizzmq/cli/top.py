"""`bizzmq top`: what happens on all queues and hosts, live in the terminal."""

from __future__ import annotations

import click

from bizzmq.broker.broker import open_broker
from bizzmq.client import BizzMQ
from bizzmq.errors import ConfigurationError


@click.command()
@click.option("--every", "every_s", metavar="SECONDS", type=click.FloatRange(0.2, 3600), default=1.0, show_default=True,
              help="The seconds between two looks.")  # fmt: skip
@click.pass_obj
def top(redis_url: str, every_s: float) -> None:
    """Show queues, running messages, pools and failures, live; pause, cancel and retry by a key. Needs the extra top.

    What is wrong stands on top, in a sentence. Keys: 1 to 4 choose a table, / filters it, Enter shows what is under the
    cursor, p pauses or resumes a queue, c cancels a running message, r retries dead letters, q quits.
    """
    try:
        from bizzmq.top.terminal import TopApp  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(f"bizzmq top needs the extra `top`: pip install textual ({error})") from None
    with open_broker(redis_url) as broker:
        broker.ping()  # an error before the screen changes
    with BizzMQ(redis_url) as mq:
        TopApp(mq, every_s).run()
