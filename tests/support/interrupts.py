"""Asynchronous exceptions: raised at a chosen instruction of BizzMQ, or by a signal handler."""

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
"""About twice the time of a call that opens its connection."""
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
    "update a queue": lambda mq: mq.update_queue(OTHER, {"max_retries": 5}),
    "find": lambda mq: mq.find("0" * 20, OTHER),
    "list messages": lambda mq: mq.messages(OTHER, "delayed", limit=1),
}
ON_ONE_SERVER = [name for name in CALLS if name != "publish confirmed"]


class Interrupt(BaseException):
    """A raised base exception, as Ctrl+C raises one."""


class Late(Exception):  # noqa: N818 - users name theirs like this
    """An exception as a time limit may raise it."""


class LateError(TimeoutError):
    """An exception as another time limit may raise it: the operating system raises its base class, too."""


KINDS = (KeyboardInterrupt, Interrupt, Late, LateError)


class InterruptedCall:
    """The outcome of one call.

    Attributes:
        result: its return value; None if it was interrupted.
        error: the exception that it raised; None if it returned.
        was_interrupted: whether an exception was injected into it.
    """

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.was_interrupted = False

    @property
    def reported_ids(self) -> list[str]:
        """The ids of the messages that were reported as stored to the caller."""
        ids = self.result if isinstance(self.result, list) else [self.result] if isinstance(self.result, str) else []
        return [*ids, *getattr(self.error, "published_ids", [])]


def at_instruction(number: int, call: Callable[[], Any]) -> InterruptedCall:
    """Call a function, and raise at the nth instruction of BizzMQ that this thread executes in it."""
    struck, left = InterruptedCall(), [number]

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "call":
            if not frame.f_code.co_filename.startswith(_OURS):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                struck.was_interrupted = True
                raise Interrupt
        return trace

    def traced() -> Iterator[Any]:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            yield call()
        finally:
            sys.settrace(before)

    # If the end of an `except` block is interrupted, CPython 3.11 treats the exception as still being handled. In a
    # generator that ends with the generator: no later exception of this thread gets it as its context.
    try:
        struck.result = next(traced())
    except Interrupt as error:
        struck.error = error
    return struck


class Storm:
    """Signals that raise in the main thread after a random time.

    Args:
        seed: seed of the times and the kinds of exception.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._kind: type[BaseException] = Interrupt
        self._previous = signal.signal(signal.SIGALRM, self._strike)
        self._hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # Python drops an exception in a finalizer

    def close(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._previous)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # closes a socket whose connect was interrupted
        sys.unraisablehook = self._hook

    def over(self, call: Callable[[], Any], longest_s: float) -> InterruptedCall:
        """Call a function, and interrupt it within this time if it still runs."""
        struck = InterruptedCall()
        self._kind = self._random.choice(KINDS)
        delay_s = max(1e-6, self._random.random() * longest_s)
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, delay_s)
                struck.result = call()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KINDS as error:
            struck.was_interrupted = type(error) is self._kind
            struck.error = error
        return struck

    def _strike(self, _number: int, _frame: FrameType | None) -> None:
        raise self._kind


class Judge:
    """Checks the state after an interrupted call."""

    def __init__(self, mq: BizzMQ, ids_of: Callable[[str], set[str]]) -> None:
        self._mq = mq
        self._ids_of = ids_of
        self._reported: list[str] = []
        for queue in (QUEUE, OTHER):
            mq.create_queue(queue)
        mq.publish_messages_to_queue(OTHER, [1, 2, 3])

    def saw(self, struck: InterruptedCall) -> None:
        """The next call is correct and does not get a reply to the call before it."""
        self._reported += struck.reported_ids
        assert self._mq.create_queue(OTHER) is False
        assert self._mq.stats(OTHER).waiting == 3
        self._reported.append(self._mq.publish_message_to_queue(QUEUE, "next"))

    def close(self) -> None:
        """Every message that was reported as stored is stored once."""
        assert len(self._reported) == len(set(self._reported))
        stored = self._ids_of(QUEUE)
        assert set(self._reported) <= stored, "ids of messages that are not stored"


def judge_of(mq: BizzMQ, redis: Any) -> Judge:
    return Judge(mq, lambda queue: {str(name) for name in redis.hkeys(Keys(queue).messages)})


def interrupt_at_each(mq: BizzMQ, judge: Judge, call: Call, step: int) -> None:
    number, is_over = 1, False
    while not is_over:
        struck = at_instruction(number, lambda: call(mq))
        is_over = not struck.was_interrupted
        judge.saw(struck)
        number += step
    judge.close()


def interrupt_calls(storm: Storm, mq: BizzMQ, judge: Judge, names: list[str], interrupts: int) -> None:
    """Interrupt `interrupts` calls, each kind of call in turn."""
    count = turn = 0
    while count < interrupts:
        name = names[turn % len(names)]
        turn += 1
        assert turn < 20 * interrupts, "hardly any call is interrupted"
        struck = storm.over(lambda: CALLS[name](mq), LONGEST_S)  # noqa: B023 - called at once
        count += struck.was_interrupted
        judge.saw(struck)
    judge.close()


def seeded() -> int:
    """A new seed, or the one in the environment. It is printed so that a failure can be repeated."""
    seed = int(os.environ.get("BIZZMQ_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}: again with BIZZMQ_SEED={seed}")  # noqa: T201 - for the reader of a failure
    return seed
