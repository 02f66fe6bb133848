"""Publish numbers for a pool that runs `tasks:handler`, which factors them, and watch the progress.

python publish_tasks.py --count 1000 --watch
"""

from __future__ import annotations

import random
import time

import click

from bizzmq import BizzMQ, QueueOptions


def hard_number(rng: random.Random) -> int:
    """A product of two primes near 300,000: trial division must try nearly all numbers below the smaller one."""

    def is_prime(odd: int) -> bool:
        return all(odd % divisor for divisor in range(3, int(odd**0.5) + 1, 2))

    first, second = (
        next(odd for odd in iter(lambda: rng.randrange(200_001, 400_000, 2), 0) if is_prime(odd)) for _ in range(2)
    )
    return first * second


@click.command()
@click.option("--count", type=click.IntRange(min=1), default=1000, show_default=True, help="Messages.")
@click.option("-q", "--queue", default="default", show_default=True)
@click.option("--redis-url", envvar=["BIZZMQ_REDIS_URL", "REDIS_URL"], default="redis://localhost:6379/0",
              show_default=True, help="The server of the pool.")  # fmt: skip
@click.option("--watch", is_flag=True, help="Wait until the queue is empty.")
def main(count: int, queue: str, redis_url: str, watch: bool) -> None:
    """Publish messages with CPU-bound work."""
    rng = random.Random()
    with BizzMQ(redis_url) as mq:
        mq.create_queue(queue, QueueOptions(config_dead_letter_queue=True))
        acked_before = mq.stats(queue).acked
        with click.progressbar(range(count), label="inventing numbers") as numbers:
            messages = [{"number": hard_number(rng)} for _ in numbers]
        mq.publish_messages_to_queue(queue, messages)
        click.echo(f"published {count} messages to {queue}")
        if watch:
            wait_for(mq, queue, acked_before)


def wait_for(mq: BizzMQ, queue: str, acked_before: int) -> None:
    """Show the progress until the queue is empty."""
    stats = mq.stats(queue)
    todo = stats.acked - acked_before + stats.waiting + stats.processing + stats.delayed
    with click.progressbar(length=todo, label="handling         ") as bar:
        while stats.waiting + stats.processing + stats.delayed:
            time.sleep(0.1)
            stats = mq.stats(queue)
            bar.update(stats.acked - acked_before - bar.pos)
    click.echo(f"handled {stats.acked - acked_before} messages, {stats.dead_lettered} in {queue}_dlq")


if __name__ == "__main__":
    main()
