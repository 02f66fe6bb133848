"""Exceptions that strike a call from outside: at a chosen instruction of BizzMQ's, or out of a signal handler."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Iterator

import bizzmq
from bizzmq import BizzMQ, MessageOptions
from bizzmq.testing.layout import Keys

_OURS = str(Path(bizzmq.__file__).resolve().parent)
QUEUE = "interrupted"
OTHER = "other-queue"
LONGEST_S = 0.004
"""A call that opens its connection takes about half of it."""
MANY = [{"n": number} for number in range(1200)]

Call = Callable[[BizzMQ], Any]
CALLS: dict[str, Call] = {
    "publish one": lambda mq: mq.publish_message_to_queue(QUEUE, {"n": 1}),
    "publish many": lambda mq: mq.publish_messages_to_queue(QUEUE, MANY),
    "publish delayed": lambda mq: mq.publish_message_to_queue(QUEUE, 1, MessageOptions(delay_s=3600)),
    "publish prioritized": lambda mq: mq.publish_messages_to_queue(QUEUE, [1, 2], MessageOptions(priority=7)),
    "publish confirmed": lambda mq: mq.publish_message_to_queue(QUEUE, 1, MessageOptions(confirm="replicas:1")),
    "stats": lambda mq: mq.stats(OTHER),
    "create a queue": lambda mq: mq.create_queue(OTHER),
}
ON_ONE_SERVER = [name for name in CALLS if name != "publish confirmed"]


class Interrupt(BaseException):
    """What strikes. A base exception, as Ctrl+C is."""


class Late(Exception):  # noqa: N818 - users name theirs like this
    """What a time limit raises, perhaps."""


class LateError(TimeoutError):
    """What another one raises: the operating system raises its base class, too."""


KINDS = (KeyboardInterrupt, Interrupt, Late, LateError)


class Struck:
    """What has become of one call.

    Attributes:
        result: what it has returned; None if it was struck.
        error: what it has raised; None if it has returned.
        was_struck: whether anything was raised in it.
    """

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.was_struck = False

    @property
    def told(self) -> list[str]:
        """The ids of messages that the caller was told to be stored."""
        ids = self.result if isinstance(self.result, list) else [self.result] if isinstance(self.result, str) else []
        return [*ids, *getattr(self.error, "published_ids", [])]


def at_instruction(number: int, call: Callable[[], Any]) -> Struck:
    """Call something, and raise at the nth of BizzMQ's instructions that this thread runs in it."""
    struck, left = Struck(), [number]

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "call":
            if not frame.f_code.co_filename.startswith(_OURS):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                struck.was_struck = True
                raise Interrupt
        return trace

    def traced() -> Iterator[Any]:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            yield call()
        finally:
            sys.settrace(before)

    # CPython 3.11 takes an exception for one that is still handled if what ends its handler is struck. In a generator,
    # that ends with the generator: no later exception of this thread gets it as its context.
    try:
        struck.result = next(traced())
    except Interrupt as error:
        struck.error = error
    return struck


class Storm:
    """Signals that raise, after a random time, in whatever the main thread does then.

    Args:
        seed: of the times and the kinds of exception.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._kind: type[BaseException] = Interrupt
        self._previous = signal.signal(signal.SIGALRM, self._strike)
        self._hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # Python drops what strikes a finalizer

    def close(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._previous)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # a socket that was struck while it was connected is closed here
        sys.unraisablehook = self._hook

    def over(self, call: Callable[[], Any], longest_s: float) -> Struck:
        """Call something, and strike within this time if it still runs then."""
        struck = Struck()
        self._kind = self._random.choice(KINDS)
        delay_s = max(1e-6, self._random.random() * longest_s)
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, delay_s)
                struck.result = call()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KINDS as error:
            struck.was_struck = type(error) is self._kind
            struck.error = error
        return struck

    def _strike(self, _number: int, _frame: FrameType | None) -> None:
        raise self._kind


class Judge:
    """Tells whether all is right after a call that was struck."""

    def __init__(self, mq: BizzMQ, ids_of: Callable[[str], set[str]]) -> None:
        self._mq = mq
        self._ids_of = ids_of
        self._told: list[str] = []
        for queue in (QUEUE, OTHER):
            mq.create_queue(queue)
        mq.publish_messages_to_queue(OTHER, [1, 2, 3])

    def saw(self, struck: Struck) -> None:
        """The next call is right, and no reply of the one before answers it."""
        self._told += struck.told
        assert self._mq.create_queue(OTHER) is False
        assert self._mq.stats(OTHER).waiting == 3
        self._told.append(self._mq.publish_message_to_queue(QUEUE, "next"))

    def close(self) -> None:
        """All that the caller was told of is stored, once."""
        assert len(self._told) == len(set(self._told))
        stored = self._ids_of(QUEUE)
        assert set(self._told) <= stored, "ids of messages that are not stored"


def judge_of(mq: BizzMQ, redis: Any) -> Judge:
    return Judge(mq, lambda queue: {str(name) for name in redis.hkeys(Keys(queue).messages)})


def strike_at_each(mq: BizzMQ, judge: Judge, call: Call, step: int) -> None:
    number, is_over = 1, False
    while not is_over:
        struck = at_instruction(number, lambda: call(mq))
        is_over = not struck.was_struck
        judge.saw(struck)
        number += step
    judge.close()


def strike(storm: Storm, mq: BizzMQ, judge: Judge, names: list[str], interrupts: int) -> None:
    """Strike so often; each call in turn."""
    count = turn = 0
    while count < interrupts:
        name = names[turn % len(names)]
        turn += 1
        assert turn < 20 * interrupts, "hardly a call is struck"
        struck = storm.over(lambda: CALLS[name](mq), LONGEST_S)  # noqa: B023 - called at once
        count += struck.was_struck
        judge.saw(struck)
    judge.close()


def seeded() -> int:
    """A new seed, or that of the environment; it is printed, so that a failure can be had again."""
    seed = int(os.environ.get("BIZZMQ_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}: again with BIZZMQ_SEED={seed}")  # noqa: T201 - for the reader of a failure
    return seed
