"""Publishing the lines of standard input in batches, such that it is always certain how far it has come."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass
from types import FrameType
from typing import IO, Any, Collection, Sequence

import click

from bizzmq.cli import input_lines
from bizzmq.client import BizzMQ, publish_to_task
from bizzmq.errors import BizzMQError, BrokerUnavailableError
from bizzmq.message import MessageOptions
from bizzmq.publisher.checked import PublishedIds
from bizzmq.utils.console import FAILED, INTERRUPTED, CommandError
from bizzmq.utils.standard_streams import show_on_stderr

_PATIENCE_S = 1.0
"""How long a batch may continue after an interrupt, so that it is certain what is stored, seconds."""


@dataclass(frozen=True)
class Target:
    """Where messages go, and for which task; "" for none."""

    queue: str
    options: MessageOptions
    task: str
    version: int

    def publish(self, mq: BizzMQ, bodies: Sequence[Any]) -> list[str]:
        """Publish messages; returns their ids."""
        return publish_to_task(mq, self.queue, bodies, self.options, self.task, self.version)


def duplicates_of(published: Sequence[str]) -> Collection[int]:
    """The indexes of the messages whose unique key an earlier message has."""
    return published.duplicates if isinstance(published, PublishedIds) else ()


def publish_lines(mq: BizzMQ, target: Target, source: IO[bytes], first: int = 1) -> None:
    """Publish one message for each line that is not blank, and show their number on stderr.

    The lines are copied to a temporary file while they are checked, so that nothing is published if one is invalid.

    Args:
        first: the number of the first line to publish, from 1. Earlier lines are only counted.

    Raises:
        click.UsageError: a line is not JSON; nothing was published.
        ConfigurationError: the lines cannot be read; nothing was published.
        CommandError: not all lines were published. The text says how many were, and how to continue.
    """
    with input_lines.spool() as checked:
        try:
            count = input_lines.check(source, checked, first, takes_arguments=target.task != "")
        except KeyboardInterrupt:
            raise CommandError("interrupted; nothing was published", INTERRUPTED) from None
        progress = _Progress(last=first - 1)
        with _Interrupts() as interrupts, click.progressbar(length=count, label="publishing", file=sys.stderr) as bar:
            try:
                for numbers, bodies in input_lines.batches(checked, first):
                    progress = _publish_batch(mq, target, (numbers, bodies), progress)
                    bar.update(len(bodies))
                    if interrupts.number and progress.stored < count:
                        raise progress.stopped("interrupted", interrupts.code)
            except _Interrupt as interrupt:
                raise progress.stopped("interrupted", interrupt.code) from None
    of_them = f", {progress.duplicates} of them duplicates of stored ones" if progress.duplicates else ""
    show_on_stderr(f"{progress.stored} messages published{of_them}")


@dataclass(frozen=True)
class _Progress:
    """The progress of publishing.

    Attributes:
        last: the number of the last line that is certainly stored, as are all lines before it.
        stored: how many lines have been stored.
        unsure: the numbers of further lines that may be stored, too.
        duplicates: how many of the stored ones have the unique key of an earlier message.
    """

    last: int
    stored: int = 0
    unsure: Sequence[int] = ()
    duplicates: int = 0

    def plus(self, numbers: Sequence[int], unsure: Sequence[int] = (), duplicates: int = 0) -> _Progress:
        """The progress after these lines have been stored, too."""
        last = numbers[-1] if numbers else self.last
        return _Progress(last, self.stored + len(numbers), unsure, self.duplicates + duplicates)

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


def _publish_batch(mq: BizzMQ, target: Target, batch: tuple[list[int], list[Any]], before: _Progress) -> _Progress:
    numbers, bodies = batch
    try:
        published = target.publish(mq, bodies)
        return before.plus(numbers[: len(published)], duplicates=len(duplicates_of(published)))
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
