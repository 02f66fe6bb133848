"""What operators ask of the pool through Redis: the janitor takes it, the supervisor does it and answers."""

from __future__ import annotations

import logging
from typing import Callable, Mapping, Sequence

from bizzmq.protocol.pool_request import PROFILE, STACK, PoolAnswer, seconds_of
from bizzmq.protocol.profile import Profile
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.janitor_messages import Answer, Ask
from bizzmq.workers.supervisor.requests.profiler import Profiler
from bizzmq.workers.supervisor.requests.sampling import Wanted
from bizzmq.workers.supervisor.requests.stacks import StackDump, WorkerStack

_logger = logging.getLogger("bizzmq.supervisor")
Act = Callable[[], str]
"""Does what is asked, and returns what it has come to."""


class PoolRequests:
    """Does what is asked of the pool, and answers. It never waits.

    Args:
        acts: what the pool can be asked to do, by name.
        why_not: why the pool does no act now, as a sentence; "" if it does.
        send: sends an answer to the janitor.
    """

    def __init__(
        self,
        stacks: StackDump,
        profiler: Profiler,
        acts: Mapping[str, Act],
        why_not: Callable[[], str],
        send: Callable[[Answer], object],
    ) -> None:
        self._stacks, self._profiler = stacks, profiler
        self._acts = acts
        self._why_not = why_not
        self._send = send

    def accept(self, ask: Ask) -> None:
        """Do what is asked. What has become void meanwhile is not done: this process was suspended, for example."""
        if clock.monotonic() >= ask.void_s:
            log(_logger, logging.WARNING, "a request came too late, it is not done", what=ask.what, by=ask.by)
            return
        log(_logger, logging.INFO, "asked through Redis", what=ask.what, by=ask.by)
        if ask.what in (STACK, PROFILE):
            (self._show_stacks if ask.what == STACK else self._profile)(ask)
            return
        act = self._acts.get(ask.what)
        refusal = f"this pool does not know {ask.what!r}: is it older?" if act is None else self._why_not()
        if act is None or refusal:
            self._answer(ask, PoolAnswer(False, refusal))
        else:
            self._answer(ask, PoolAnswer(True, act()))

    def _show_stacks(self, ask: Ask) -> None:
        def deliver(stacks: Sequence[WorkerStack]) -> None:
            text = "\n\n".join(map(stack_text, stacks))
            self._answer(ask, PoolAnswer(bool(stacks), text or _no_worker(ask.worker)))

        if not self._stacks.request(ask.worker, deliver) and ask.worker:
            log(_logger, logging.INFO, "asked for the stack of a worker that is gone", worker=ask.worker)

    def _profile(self, ask: Ask) -> None:
        def deliver(profile: Profile) -> None:
            self._answer(ask, PoolAnswer(True, profile.encode().decode("utf-8")))

        wanted, for_s = Wanted(ask.message, ask.task), seconds_of(ask.for_s)
        if not self._profiler.start(wanted, for_s, deliver):
            self._answer(ask, PoolAnswer(False, "too many profiles of this pool are being made: ask again later"))

    def _answer(self, ask: Ask, answer: PoolAnswer) -> None:
        self._send(Answer(ask.id, answer.is_done, answer.text))


def stack_text(one: WorkerStack) -> str:
    """The stacks of a worker for people: first what it does, then a traceback for each thread."""
    does = (
        f"runs message {one.message} of queue {one.queue} for {one.ran_s:.1f} s" if one.message else f"is {one.state}"
    )
    trace = one.trace or "(no stack: the process is stopped, or has no processor)"
    return f"worker {one.worker} (slot {one.slot}, pid {one.pid}) {does}\n{trace}"


def _no_worker(worker: str) -> str:
    return f"the pool has no worker {worker} any more" if worker else "the pool has no worker that has booted"
