"""Publishing from standard input: check every line, then publish in batches."""

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

from bizzmq import codec
from bizzmq.client import BizzMQ
from bizzmq.console import FAILED, INTERRUPTED, CommandError
from bizzmq.errors import BizzMQError, BrokerUnavailableError, ConfigurationError, DecodeError
from bizzmq.message import MessageOptions, decode_body, encode_body
from bizzmq.streams import say

_BATCH = 1000
_IN_MEMORY_BYTES = 64 * 1024 * 1024
_LINE_BYTES = 16 * 1024 * 1024
"""The longest line. A body of 1 MiB may be written in up to six times as many bytes, and with white space."""
_PATIENCE_S = 1.0
"""How long a batch may go on after an interrupt, until which it is certain what is stored."""
_BOMS = {  # the longer ones first: that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip


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


def publish_lines(mq: BizzMQ, queue: str, source: IO[bytes], options: MessageOptions, first: int = 1) -> None:
    """Publish one message for each line that is not blank; the count goes to stderr.

    The lines are copied aside while they are checked, so that a bad one is found before anything is
    published.

    Args:
        first: the first line that is published, from 1 on; those before it are only counted.

    Raises:
        click.UsageError: a line is not JSON; nothing was published.
        ConfigurationError: the lines cannot be read; nothing was published.
        CommandError: not all were published. The text says how many are, and how to go on.
    """
    with _spool() as checked:
        try:
            count = _check(source, checked, first)
        except KeyboardInterrupt:
            raise CommandError("interrupted; nothing was published", INTERRUPTED) from None
        progress = _Progress(last=first - 1)
        with _Interrupts() as interrupts, click.progressbar(length=count, label="publishing", file=sys.stderr) as bar:
            try:
                for numbers, bodies in _batches(checked, first):
                    progress = _publish_batch(mq, queue, (numbers, bodies), options, progress)
                    bar.update(len(bodies))
                    if interrupts.number and progress.stored < count:
                        raise progress.stopped("interrupted", interrupts.code)
            except _Interrupt as interrupt:
                raise progress.stopped("interrupted", interrupt.code) from None
    say(f"{progress.stored} messages published")


@dataclass(frozen=True)
class _Progress:
    """How far it has come.

    Attributes:
        last: the number of the last line that is stored for certain; all lines before it are.
        stored: how many lines that are.
        unsure: the numbers of further lines that may be stored, too.
    """

    last: int
    stored: int = 0
    unsure: Sequence[int] = ()

    def plus(self, numbers: Sequence[int], unsure: Sequence[int] = ()) -> _Progress:
        """After these lines were stored, too."""
        return _Progress(numbers[-1] if numbers else self.last, self.stored + len(numbers), unsure)

    def stopped(self, why: str, code: int) -> CommandError:
        """What is stored, and how to go on."""
        following = self.last + 1
        text = f"{why}; {self.stored} lines are stored" + (f", up to line {self.last}" if self.stored else "")
        if self.unsure:
            text += f", and at most {len(self.unsure)} more may be, up to line {self.unsure[-1]}"
        text += f"; to go on, publish the same input with --resume-from {following}"
        if self.unsure:
            text += f" (what is stored of lines {following} to {self.unsure[-1]} is then stored twice)"
        return CommandError(text, code)


def _publish_batch(
    mq: BizzMQ, queue: str, batch: tuple[list[int], list[Any]], options: MessageOptions, before: _Progress
) -> _Progress:
    numbers, bodies = batch
    try:
        return before.plus(numbers[: len(mq.publish_messages_to_queue(queue, bodies, options))])
    except _Interrupt as interrupt:
        raise _so_far(before, numbers, interrupt).stopped("interrupted", interrupt.code) from None
    except BizzMQError as error:
        progress = _so_far(before, numbers, error)
        if not progress.stored and not progress.unsure:
            raise
        why = f"Redis is unavailable: {error}" if isinstance(error, BrokerUnavailableError) else str(error)
        raise progress.stopped(why, FAILED) from None


def _so_far(before: _Progress, numbers: list[int], error: BaseException) -> _Progress:
    """What is stored of a batch that ended with this error. Messages are stored in order."""
    known = len({*getattr(error, "published_ids", ()), *getattr(error, "message_ids", ())})
    is_unsure = isinstance(error, (BrokerUnavailableError, _Interrupt))
    return before.plus(numbers[:known], numbers[known:] if is_unsure else ())


class _Interrupt(KeyboardInterrupt):
    """An interrupt that could not wait until the batch is stored."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class _Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP let the batch under way end, so that it is certain what is stored.

    A second one, or one second, ends it at once by `_Interrupt`.

    Attributes:
        number: the signal that has come, or 0.
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


def _check(source: IO[bytes], checked: IO[bytes], first: int) -> int:
    """Copy the lines from `first` on, blank ones as such; returns how many are to be published."""
    count = number = 0
    for number, line in enumerate(_lines(source), start=1):
        if number < first:
            continue
        stripped = line.strip()
        if stripped:
            try:
                encode_body(decode_body(stripped))
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
    """A file for the lines, in memory at first."""
    spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - see how it is closed
    try:
        yield spool
    finally:
        with contextlib.suppress(OSError):  # what it could not keep, it would try to write once more
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
            f"the lines cannot be kept in {_temporary()} while they are checked: {error.strerror}; "
            "nothing was published (TMPDIR names another directory)",
            FAILED,
        ) from None


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    """The lines of standard input, without a byte order mark.

    Raises:
        ConfigurationError: it cannot be read, or is no UTF-8.
        click.UsageError: a line is far too long.
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
    """Numbers of lines, and their bodies."""
    numbers: list[int] = []
    bodies: list[Any] = []
    for number, line in enumerate(lines, start=first):
        if line == b"\n":
            continue
        numbers.append(number)
        bodies.append(codec.loads(line))
        if len(bodies) == _BATCH:
            yield numbers, bodies
            numbers, bodies = [], []
    if bodies:
        yield numbers, bodies
