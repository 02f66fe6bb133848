"""The operator's command: publish, look at queues and dead letters, replay and purge them, see a demo."""

from __future__ import annotations

import json
import random
import sys

import click

import bizzmq
from bizzmq import census, console, environment, logs, signing, streams
from bizzmq.cli_audit import audit_command
from bizzmq.cli_dead_letters import dlq
from bizzmq.cli_doctor import doctor
from bizzmq.cli_pool import pool
from bizzmq.cli_publish import publish_lines, read_document
from bizzmq.cli_queue import queue as queue_group
from bizzmq.cli_support import Number, confirm_deletion, create_implicitly, open_broker, show_count
from bizzmq.cli_torture import torture
from bizzmq.client import BizzMQ
from bizzmq.console import CommandError, stated
from bizzmq.demo import Demo
from bizzmq.keys import MAX_SHARDS
from bizzmq.message import MessageOptions
from bizzmq.purging import purge_all
from bizzmq.streams import OutputError, say, show
from bizzmq.tables import table
from bizzmq.torture import Torture
from bizzmq.workers.cli import command as worker_command

_OWN_SERVER = ("demo", "torture")


@click.group(
    cls=console.Group, context_settings={"auto_envvar_prefix": "BIZZMQ", "help_option_names": ["-h", "--help"]}
)
@console.redis_url()
@click.version_option(bizzmq.__version__, "--version", message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, redis_url: str) -> None:
    """Look after BizzMQ's queues. The pool of workers is another command: bizzmq-worker."""
    context.obj = redis_url
    is_named = context.get_parameter_source("redis_url") is click.core.ParameterSource.COMMANDLINE
    if is_named and context.invoked_subcommand in _OWN_SERVER:
        raise click.UsageError(f"{context.invoked_subcommand} takes no --redis-url: it starts a server of its own")
    logs.configure("warning", "text")
    for sentence in environment.misspelt([command, worker_command]):
        streams.say(f"bizzmq: warning: {sentence}")


@command.command()
@click.argument("queue")
@click.argument("document", metavar="[JSON|-]", default="-")
@click.option("--priority", type=int, default=0, help="Higher is handled first.  [default: 0]")
@click.option("--retries", type=click.IntRange(min=0), help="Overrides the queue's number of retries.")
@click.option("--delay", type=Number(min=0), default=0.0, metavar="SECONDS", help="Hold it back so long.")
@click.option("--confirm", callback=stated, metavar="replicas:N|aof",
              help="Return only when so many replicas, or the server's disk, have it.")  # fmt: skip
@click.option("--timeout", type=Number(min=0, min_open=True), metavar="SECONDS",
              help="How long one delivery may take.")  # fmt: skip
@click.option("--create", is_flag=True, help="Create the queue, with a dead-letter queue, if it does not exist.")
@click.option("--shards", type=click.IntRange(1, MAX_SHARDS), metavar="N",
              help="Create it with so many shards; order holds within each.  [default: 1]")  # fmt: skip
@click.option("--resume-from", type=click.IntRange(min=1), metavar="LINE",
              help="Skip the lines before this one, from 1 on: they are stored already.")  # fmt: skip
@click.pass_obj
def publish(
    redis_url: str,
    queue: str,
    document: str,
    *,
    priority: int,
    retries: int | None,
    delay: float,
    confirm: str | None,
    timeout: float | None,
    create: bool,
    shards: int | None,
    resume_from: int | None,
) -> None:
    """Publish one JSON document, or with - (the default) one for each line of standard input.

    All lines are checked before the first one is published. If it ends before the last one is, it says how many are
    stored, and with which --resume-from to go on.
    """
    options = MessageOptions(
        priority=priority, retries=retries, delay_s=delay, timeout_s=timeout, confirm=confirm or ""
    )
    if shards and not create:
        raise click.UsageError("--shards is for a queue that is created: add --create")
    if resume_from and document != "-":
        raise click.UsageError("--resume-from is for lines of standard input")
    body = None if document == "-" else read_document(document, "the argument")
    with BizzMQ(redis_url, signing_keys=signing.keys_from_environment()) as mq:
        if create:
            create_implicitly(redis_url, queue, shards)
        if document == "-":
            mq.stats(queue)  # a queue that does not exist is said before anything is read
            publish_lines(mq, queue, sys.stdin.buffer, options, resume_from or 1)
        else:
            _show_id(mq.publish_message_to_queue(queue, body, options))


def _show_id(message_id: str) -> None:
    try:
        show(message_id)
    except OutputError as error:
        said = f"the message is published as {message_id}, but {console.unwritable(error)}"
        raise CommandError(said, console.FAILED) from None


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def queues(redis_url: str, as_json: bool) -> None:
    """List all queues with what they hold."""
    with open_broker(redis_url) as broker:
        rows = census.overview(broker)
    if as_json:
        show(json.dumps(rows))
        return
    shown = ("queue", "waiting", "delayed", "processing", "dead_lettered", "published", "acked")
    counted = [[row.get(name, "?") for name in shown] for row in rows]
    table(counted, shown, spare=("acked", "published"), cut={"queue": 16})
    for row in rows:
        if "error" in row:
            say(f"{row['queue']}: {logs.escape(row['error'])}")


@command.command()
@click.argument("queue")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def stats(redis_url: str, queue: str, as_json: bool) -> None:
    """Count what a queue holds, and what has become of its messages so far.

    \b
    The sum always holds. For a queue:
      published + replayed = waiting + delayed + processing + acked + discarded
        + purged + dead_lettered_total + written_off + unaccounted
    For a dead-letter queue:
      published + dead_lettered_total = waiting + delayed + processing
        + dead_lettered + acked + discarded + purged + replayed + written_off
        + unaccounted

    unaccounted is 0 unless something else than BizzMQ has deleted or written messages; bizzmq audit QUEUE tells more.
    """  # noqa: D301 - click reads \b as the beginning of lines that it leaves as they are
    with open_broker(redis_url) as broker:
        counts = census.stats(broker, queue).as_dict()
    if as_json:
        show(json.dumps(counts))
        return
    for name, count in counts.items():
        show(f"{name:<19} {count:>12,}")


@command.command()
@click.argument("queue")
@click.option("--yes", is_flag=True, help="Do not ask first. A script needs it.")
@click.pass_obj
def purge(redis_url: str, queue: str, yes: bool) -> None:
    """Delete all messages of a queue that nobody is handling."""
    with open_broker(redis_url) as broker:
        counts = census.stats(broker, queue)
        confirm_deletion(f"{counts.waiting + counts.delayed} messages of {queue}", yes)
        show_count(purge_all(broker, queue), "messages deleted")


command.add_command(audit_command)
command.add_command(dlq)
command.add_command(doctor)
command.add_command(pool)
command.add_command(queue_group)
command.add_command(torture)


@command.command()
@click.option("--messages", type=click.IntRange(min=10), default=2000, show_default=True)
@click.option("--concurrency", type=click.IntRange(min=1), help="Worker processes.  [default: at least 2]")
@click.option("--torture", is_flag=True, help="Everything else that can happen to a pool, instead.")
@click.option("--seconds", type=Number(min=5), default=60.0, show_default=True, help="How long to torture.")
@click.option("--seed", type=int, help="Repeat the torture with this seed.  [default: another one each time]")
def demo(messages: int, concurrency: int | None, *, torture: bool, seconds: float, seed: int | None) -> None:
    """Watch a pool lose a worker to SIGKILL and no message.

    Starts a private server in a temporary directory, publishes CPU-bound work, runs a pool over it, kills
    a worker half-way, and counts. Exits with 0 only if every message was handled.

    With --torture: kills, segfaults, leaks, hangs, reloads of broken code and more for a minute. Exits with 0
    only if nothing was lost, nobody was blamed wrongly, and no process is left.
    """
    if torture:
        sys.exit(Torture(seconds, random.randrange(1_000_000) if seed is None else seed).run())
    sys.exit(Demo(messages, concurrency).run())


def main() -> None:
    """The entry point."""
    streams.open_closed(usable=False)
    console.run(command, "bizzmq")
