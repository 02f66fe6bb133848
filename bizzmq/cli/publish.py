"""`bizzmq publish`: one document, or the lines of standard input, which are checked first and then published."""

from __future__ import annotations

import codecs
import contextlib
import errno
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any, Iterator, Sequence

import click

from bizzmq.cli.helpers import Number, create_implicitly, naming_options
from bizzmq.client import BizzMQ, publish_to_task
from bizzmq.errors import BizzMQError, BrokerUnavailableError, ConfigurationError, DecodeError
from bizzmq.message import MessageOptions
from bizzmq.properties import checked_task
from bizzmq.protocol import json_codec, signing
from bizzmq.protocol.envelope import decode_body, encode_body
from bizzmq.queue import MAX_SHARDS
from bizzmq.utils import console
from bizzmq.utils.console import FAILED, INTERRUPTED, CommandError, not_empty
from bizzmq.utils.standard_streams import OutputError, show, show_on_stderr

_BATCH = 1000
_NO_ARGUMENTS = 'no object of arguments: write {"parameter": value, ...}'
_IN_MEMORY_BYTES = 64 * 1024 * 1024
_LINE_BYTES = 16 * 1024 * 1024
"""The longest line. A body of 1 MiB can be written with up to six times as many bytes, and with white space."""
_PATIENCE_S = 1.0
"""How long a batch may continue after an interrupt, so that it is certain what is stored, seconds."""
_BOMS = {  # the longer ones first, because the mark of UTF-32 begins like the mark of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip


@click.command()
@click.argument("queue")
@click.argument("document", metavar="[JSON|-]", default="-")
@click.option("--priority", type=int, default=0, help="Higher is handled first.  [default: 0]")
@click.option("--retries", type=click.IntRange(min=0), help="Overrides the queue's number of retries.")
@click.option("--delay", type=Number(min=0), default=0.0, metavar="SECONDS", help="Delay it by this time.")
@click.option("--confirm", callback=not_empty, metavar="replicas:N|aof",
              help="Wait until it is on N replicas, or on the server's disk.")  # fmt: skip
@click.option("--timeout", type=Number(min=0, min_open=True), metavar="SECONDS",
              help="The time limit of one delivery.")  # fmt: skip
@click.option("--task", callback=not_empty, metavar="NAME",
              help="Publish it for this task: each document is an object of its arguments.")  # fmt: skip
@click.option("--task-version", type=click.IntRange(min=1), metavar="N",
              help="The version of the arguments.  [default: 1]")  # fmt: skip
@click.option("--result-ttl", type=Number(min=0), default=0.0, metavar="SECONDS",
              help="How long the result is kept.  [default: 0, none]")  # fmt: skip
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
            result_ttl_s=result_ttl,
        )  # fmt: skip
    target = _Target(queue, options, _checked_task(task), task_version or 1)
    if task_version and not task:
        raise click.UsageError("--task-version needs --task")
    if shards and not create:
        raise click.UsageError("--shards needs --create")
    if resume_from and document != "-":
        raise click.UsageError("--resume-from needs lines of standard input")
    body = None if document == "-" else read_document(document, "the argument")
    if document != "-" and target.task and not isinstance(body, dict):
        raise click.UsageError(f"the argument is {_NO_ARGUMENTS}")
    with BizzMQ(redis_url, signing_keys=signing.keys_from_environment()) as mq:
        if create:
            create_implicitly(redis_url, queue, shards)
        if document == "-":
            mq.stats(queue)  # a missing queue is reported before anything is read
            publish_lines(mq, target, sys.stdin.buffer, resume_from or 1)
        else:
            _show_id(target.publish(mq, [body])[0])


@dataclass(frozen=True)
class _Target:
    """Where messages go, and for which task; "" for none."""

    queue: str
    options: MessageOptions
    task: str
    version: int

    def publish(self, mq: BizzMQ, bodies: Sequence[Any]) -> list[str]:
        """Publish messages; returns their ids."""
        return publish_to_task(mq, self.queue, bodies, self.options, self.task, self.version)


def _checked_task(name: str | None) -> str:
    """The name of a task; "" if there is none. Raises ConfigurationError."""
    return "" if name is None else checked_task(name)


def _show_id(message_id: str) -> None:
    try:
        show(message_id)
    except OutputError as error:
        text = f"the message is published as {message_id}, but {console.unwritable(error)}"
        raise CommandError(text, FAILED) from None


def read_document(text: str, where: str) -> Any:
    """A JSON document from the command line. Raises click.UsageError."""
    try:
        body = decode_body(text.lstrip("\ufeff").encode("utf-8", "surrogateescape"))
        encode_body(body)
    except DecodeError as error:
        raise click.UsageError(f"{where} is {error}") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return body


def publish_lines(mq: BizzMQ, target: _Target, source: IO[bytes], first: int = 1) -> None:
    """Publish one message for each line that is not blank, and show their number on stderr.

    The lines are copied to a temporary file while they are checked, so that nothing is published if one is invalid.

    Args:
        first: the number of the first line to publish, from 1. Earlier lines are only counted.

    Raises:
        click.UsageError: a line is not JSON; nothing was published.
        ConfigurationError: the lines cannot be read; nothing was published.
        CommandError: not all lines were published. The text says how many were, and how to continue.
    """
    with _spool() as checked:
        try:
            count = _check(source, checked, first, takes_arguments=target.task != "")
        except KeyboardInterrupt:
            raise CommandError("interrupted; nothing was published", INTERRUPTED) from None
        progress = _Progress(last=first - 1)
        with _Interrupts() as interrupts, click.progressbar(length=count, label="publishing", file=sys.stderr) as bar:
            try:
                for numbers, bodies in _batches(checked, first):
                    progress = _publish_batch(mq, target, (numbers, bodies), progress)
                    bar.update(len(bodies))
                    if interrupts.number and progress.stored < count:
                        raise progress.stopped("interrupted", interrupts.code)
            except _Interrupt as interrupt:
                raise progress.stopped("interrupted", interrupt.code) from None
    show_on_stderr(f"{progress.stored} messages published")


@dataclass(frozen=True)
class _Progress:
    """The progress of publishing.

    Attributes:
        last: the number of the last line that is certainly stored, as are all lines before it.
        stored: how many lines have been stored.
        unsure: the numbers of further lines that may be stored, too.
    """

    last: int
    stored: int = 0
    unsure: Sequence[int] = ()

    def plus(self, numbers: Sequence[int], unsure: Sequence[int] = ()) -> _Progress:
        """The progress after these lines have been stored, too."""
        return _Progress(numbers[-1] if numbers else self.last, self.stored + len(numbers), unsure)

    def stopped(self, why: str, code: int) -> CommandError:
        """An error whose text says what is stored, and how to continue."""
        following = self.last + 1
        text = f"{why}; {self.stored} lines are stored" + (f", up to line {self.last}" if self.stored else "")
        if self.unsure:
            text += f", and at most {len(self.unsure)} more may be, up to line {self.unsure[-1]}"
        text += f"; to go on, publish the same input with --resume-from {following}"
        if self.unsure:
            text += f" (what is stored of lines {following} to {self.unsure[-1]} is then stored twice)"
        return CommandError(text, code)


def _publish_batch(mq: BizzMQ, target: _Target, batch: tuple[list[int], list[Any]], before: _Progress) -> _Progress:
    numbers, bodies = batch
    try:
        return before.plus(numbers[: len(target.publish(mq, bodies))])
    except _Interrupt as interrupt:
        raise _so_far(before, numbers, interrupt).stopped("interrupted", interrupt.code) from None
    except BizzMQError as error:
        progress = _so_far(before, numbers, error)
        if not progress.stored and not progress.unsure:
            raise
        why = f"Redis is unavailable: {error}" if isinstance(error, BrokerUnavailableError) else str(error)
        raise progress.stopped(why, FAILED) from None


def _so_far(before: _Progress, numbers: list[int], error: BaseException) -> _Progress:
    """The progress after a batch that ended with this error. Messages are stored in order."""
    known = len({*getattr(error, "published_ids", ()), *getattr(error, "message_ids", ())})
    is_unsure = isinstance(error, (BrokerUnavailableError, _Interrupt))
    return before.plus(numbers[:known], numbers[known:] if is_unsure else ())


class _Interrupt(KeyboardInterrupt):
    """An interrupt that does not wait until the batch is stored."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class _Interrupts:
    """A context manager: SIGINT, SIGTERM and SIGHUP let the current batch finish, so that it is certain what is stored.

    A second signal, or a second of waiting, raises `_Interrupt`.

    Attributes:
        number: the number of the received signal, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    @property
    def code(self) -> int:
        return 128 + self.number if self.number != signal.SIGINT else INTERRUPTED

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup keeps its meaning
                    self._before[number] = signal.signal(number, self._note)
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._overdue)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            raise _Interrupt(self.code)
        self.number = number
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)

    def _overdue(self, _number: int, _frame: FrameType | None) -> None:
        raise _Interrupt(self.code)


def _check(source: IO[bytes], checked: IO[bytes], first: int, *, takes_arguments: bool) -> int:
    """Check the lines from `first` on and copy them, also blank ones; returns the number of messages."""
    count = number = 0
    for number, line in enumerate(_lines(source), start=1):
        if number < first:
            continue
        stripped = line.strip()
        if stripped:
            try:
                body = decode_body(stripped)
                encode_body(body)
                if takes_arguments and not isinstance(body, dict):
                    raise click.UsageError(f"line {number} is {_NO_ARGUMENTS}; nothing was published")
            except ValueError as error:
                raise click.UsageError(f"line {number}: {error}; nothing was published") from None
            count += 1
        with _spooling():
            checked.write(stripped + b"\n")
    if number < first - 1:
        raise click.UsageError(f"--resume-from {first}, but there are {number} lines; nothing was published")
    with _spooling():
        checked.seek(0)
    return count


@contextlib.contextmanager
def _spool() -> Iterator[IO[bytes]]:
    """A temporary file for the lines, in memory while it is small."""
    spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - see how it is closed
    try:
        yield spool
    finally:
        with contextlib.suppress(OSError):  # closing tries again to write what could not be written
            spool.close()


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "a temporary directory"


@contextlib.contextmanager
def _spooling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"the lines cannot be stored in {_temporary()} while they are checked: {error.strerror}; "
            "nothing was published (set TMPDIR to another directory)",
            FAILED,
        ) from None


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    """The lines of standard input, without a byte order mark.

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8.
        click.UsageError: a line is too long.
    """
    number = 0
    while True:
        try:
            line = source.readline(_LINE_BYTES)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"standard input cannot be read: {_why(error)}; nothing was published") from None
        number += 1
        if number == 1:
            for mark, name in _BOMS.items():
                if line.startswith(mark):
                    raise ConfigurationError(f"standard input is {name}, it must be UTF-8; nothing was published")
            if line.startswith(codecs.BOM_UTF8):
                line = line[len(codecs.BOM_UTF8) :] or b"\n"
        if not line:
            return
        if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            raise click.UsageError(f"line {number} is longer than {_LINE_BYTES >> 20} MiB; nothing was published")
        yield line


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        closed = error.errno == errno.EBADF
        return "it is closed" if closed else str(error.strerror or error)
    return "it is closed"


def _batches(lines: IO[bytes], first: int) -> Iterator[tuple[list[int], list[Any]]]:
    """The lines in batches: their numbers, and their bodies."""
    numbers: list[int] = []
    bodies: list[Any] = []
    for number, line in enumerate(lines, start=first):
        if line == b"\n":
            continue
        numbers.append(number)
        bodies.append(json_codec.loads(line))
        if len(bodies) == _BATCH:
            yield numbers, bodies
            numbers, bodies = [], []
    if bodies:
        yield numbers, bodies
