"""Publishing from standard input: check every line, then publish in batches."""

from __future__ import annotations

import sys
import tempfile
from typing import IO, Any, Iterator

import click

from bizzmq import codec
from bizzmq.client import BizzMQ
from bizzmq.errors import DecodeError
from bizzmq.message import MessageOptions, decode_body, encode_body

_BATCH = 1000
_IN_MEMORY_BYTES = 64 * 1024 * 1024


def read_document(text: str, where: str) -> Any:
    """A JSON document from the command line. Raises click.UsageError."""
    try:
        body = decode_body(text.encode("utf-8", "surrogateescape"))
        encode_body(body)
    except DecodeError as error:
        raise click.UsageError(f"{where} is {error}") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return body


def publish_lines(mq: BizzMQ, queue: str, source: IO[bytes], options: MessageOptions) -> None:
    """Publish one message for each line that is not blank; the count goes to stderr.

    The lines are copied aside while they are checked, so that a bad one is found before anything is
    published.

    Raises:
        click.UsageError: a line is not JSON; nothing was published.
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as checked:
        count = 0
        for number, line in enumerate(source, start=1):
            if line.strip():
                try:
                    encode_body(decode_body(line))
                except ValueError as error:
                    raise click.UsageError(f"line {number}: {error}; nothing was published") from None
                checked.write(line.strip() + b"\n")
                count += 1
        checked.seek(0)
        published = 0
        with click.progressbar(length=count, label="publishing", file=sys.stderr) as bar:
            for batch in _batches(checked):
                published += len(mq.publish_messages_to_queue(queue, batch, options))
                bar.update(len(batch))
    click.echo(f"{published} messages published", err=True)


def _batches(lines: Any) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for line in lines:
        batch.append(codec.loads(line))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
