"""`bizzmq publish`: one document, or the lines of standard input, which are checked first and then published."""

from __future__ import annotations

import sys
from typing import Callable

import click

from bizzmq.cli.helpers import Duration, create_implicitly, naming_options
from bizzmq.cli.input_lines import NO_ARGUMENTS, read_document
from bizzmq.cli.publish_lines import Target, duplicates_of, publish_lines
from bizzmq.client import BizzMQ
from bizzmq.message import MessageOptions
from bizzmq.properties import checked_task
from bizzmq.protocol import encryption, signing
from bizzmq.queue import MAX_SHARDS
from bizzmq.utils import console
from bizzmq.utils.console import FAILED, CommandError, not_empty
from bizzmq.utils.standard_streams import OutputError, show, show_on_stderr


def unique_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of messages that are unique or expire."""
    for option in reversed((
        click.option("--unique-key", callback=not_empty, metavar="TEXT",
                     help="Publish it only if no message of the queue has this key."),
        click.option("--unique-until", type=click.Choice(["finished", "started"]), default="finished",
                     show_default=True, help="How long a message has its key."),
        click.option("--unique-for", type=Duration(min=0, min_open=True), metavar="TIME",
                     help="Instead, the key is taken for this time."),
        click.option("--expires", type=Duration(min=0, min_open=True), metavar="TIME",
                     help="It is not started later than this."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.argument("queue")
@click.argument("document", metavar="[JSON|-]", default="-")
@click.option("--priority", type=int, default=0, help="Higher is handled first.  [default: 0]")
@click.option("--retries", type=click.IntRange(min=0), help="Overrides the queue's number of retries.")
@click.option("--delay", type=Duration(min=0), default=0.0, metavar="TIME", help="Delay it by this time: 90, 90s, 5m.")
@click.option("--confirm", callback=not_empty, metavar="replicas:N|aof",
              help="Wait until it is on N replicas, or on the server's disk.")  # fmt: skip
@click.option("--timeout", type=Duration(min=0, min_open=True), metavar="TIME",
              help="The time limit of one delivery.")  # fmt: skip
@click.option("--task", callback=not_empty, metavar="NAME",
              help="Publish it for this task: each document is an object of its arguments.")  # fmt: skip
@click.option("--task-version", type=click.IntRange(min=1), metavar="N",
              help="The version of the arguments.  [default: 1]")  # fmt: skip
@click.option("--result-ttl", type=Duration(min=0), default=0.0, metavar="TIME",
              help="How long the result is kept.  [default: 0, none]")  # fmt: skip
@click.option("--key", callback=not_empty, metavar="TEXT",
              help="A name by which messages are found and cancelled, such as a tenant's.")  # fmt: skip
@click.option("--compress-above", type=click.IntRange(min=0), metavar="BYTES",
              help="Compress larger documents.  [default: none]")  # fmt: skip
@unique_options
@click.option("--on-duplicate", type=click.Choice(["keep", "replace"]), default="keep", show_default=True,
              help="Keep the message that has the key, or replace its content.")  # fmt: skip
@click.option("--create", is_flag=True, help="Create the queue, with a dead-letter queue, if it does not exist.")
@click.option("--shards", type=click.IntRange(1, MAX_SHARDS), metavar="N",
              help="Create it with N shards; messages keep their order within a shard.  [default: 1]")  # fmt: skip
@click.option("--resume-from", type=click.IntRange(min=1), metavar="LINE",
              help="Skip the lines before this one, counted from 1: they are already stored.")  # fmt: skip
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
    task: str | None,
    task_version: int | None,
    result_ttl: float,
    key: str | None,
    compress_above: int | None,
    unique_key: str | None,
    unique_until: str,
    unique_for: float | None,
    on_duplicate: str,
    expires: float | None,
    create: bool,
    shards: int | None,
    resume_from: int | None,
) -> None:
    """Publish one JSON document, or with - (the default) one for each line of standard input.

    All lines are checked before the first one is published. If publishing ends early, the error says how many lines
    are stored, and which --resume-from continues.
    """
    with naming_options():
        options = MessageOptions(
            priority=priority, retries=retries, delay_s=delay, timeout_s=timeout, confirm=confirm or "",
            result_ttl_s=result_ttl, key=key or "", unique_key=unique_key or "", unique_until=unique_until,
            unique_for_s=unique_for, on_duplicate=on_duplicate, expires_s=expires,
        )  # fmt: skip
    target = Target(queue, options, _checked_task(task), task_version or 1)
    if task_version and not task:
        raise click.UsageError("--task-version needs --task")
    if shards and not create:
        raise click.UsageError("--shards needs --create")
    if resume_from and document != "-":
        raise click.UsageError("--resume-from needs lines of standard input")
    body = None if document == "-" else read_document(document, "the argument")
    if document != "-" and target.task and not isinstance(body, dict):
        raise click.UsageError(f"the argument is {NO_ARGUMENTS}")
    with BizzMQ(
        redis_url, signing_keys=signing.keys_from_environment(), compress_above_bytes=compress_above,
        encryption_keys=encryption.keys_from_environment(),
    ) as mq:  # fmt: skip
        if create:
            create_implicitly(redis_url, queue, shards)
        if document == "-":
            mq.stats(queue)  # a missing queue is reported before anything is read
            publish_lines(mq, target, sys.stdin.buffer, resume_from or 1)
        else:
            published = target.publish(mq, [body])
            _show_id(published[0])
            if duplicates_of(published):
                kept = "which is kept" if on_duplicate == "keep" else "which it replaces"
                show_on_stderr(f"a duplicate: an earlier message has its unique key, {kept}")


def _checked_task(name: str | None) -> str:
    """The name of a task; "" if there is none. Raises ConfigurationError."""
    return "" if name is None else checked_task(name)


def _show_id(message_id: str) -> None:
    try:
        show(message_id)
    except OutputError as error:
        text = f"the message is published as {message_id}, but {console.unwritable(error)}"
        raise CommandError(text, FAILED) from None
