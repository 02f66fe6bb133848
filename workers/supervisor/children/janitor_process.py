"""The supervisor's handle on the janitor: starts and restarts it, and keeps the requests it has not confirmed."""

from __future__ import annotations

import logging
import math
import os
import signal
from enum import Enum
from typing import Any, Callable, Collection, Iterable, Mapping, Sequence, Union

from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.workers.ipc.janitor_messages import (
    FROM_JANITOR,
    Adopt,
    Alive,
    Answer,
    Described,
    JanitorReply,
    JanitorRequest,
    KeepProfile,
    QueueLengths,
    Register,
    Registered,
    ReleasePrefetched,
    Requeue,
    Requeued,
    SignedOff,
    SignOff,
)
from bizzmq.workers.ipc.op import Op
from bizzmq.workers.ipc.worker_exit import WorkerExit
from bizzmq.workers.process.child import ChildMain, ChildProcess, RestartDelay

_logger = logging.getLogger("bizzmq.supervisor")

_FIRST_WAIT_S = 0.05
_HEALTHY_S = 60.0
"""After a janitor that has lived for `n` seconds, earlier deaths are forgotten."""


class JanitorProcess(ChildProcess):
    """Requests survive the janitor: those that it has not confirmed go to the next one.

    Attributes:
        signed_off: whether the janitor has unregistered the supervisor.
        redis_is_away: whether the janitor could not reach Redis the last time it tried.
        aside: what is wrong with each queue, or shard of one, that is set aside.
        paused: what is paused in each queue, or shard of one, in words.
        lengths, runs, lengths_at_s: of the queues, as QueueLengths has them, and when they came, monotonic seconds.

    Args:
        silence_s: a janitor that has sent nothing for `silence_s` is stuck, and is replaced.
        lease_s: the lease of the supervisor; a janitor that dies is replaced well before it ends.
    """

    def __init__(
        self, main: ChildMain, close_in_child: Callable[[], Iterable[int]], silence_s: float, lease_s: float
    ) -> None:
        super().__init__(main, close_in_child)
        self._silence_s = silence_s
        self._unconfirmed: dict[tuple[Enum, str], Union[Register, Requeue, SignOff]] = {}
        self._adopted: dict[str, Adopt] = {}
        self._app: Mapping[str, Any] | None = None
        self._received_s = 0.0
        self._restart = RestartDelay(_FIRST_WAIT_S, lease_s / 4)
        self.signed_off = False
        self.redis_is_away = True
        self.aside: Mapping[str, str] = {}
        self.paused: Mapping[str, str] = {}
        self.lengths: Mapping[str, Sequence[int]] = {}
        self.runs: Mapping[str, Sequence[float]] = {}
        self.lengths_at_s = 0.0

    @property
    def all_done(self) -> bool:
        """Whether every request is confirmed."""
        return not self._unconfirmed

    @property
    def owes_requeues(self) -> bool:
        """Whether messages of a dead worker are not settled yet."""
        return any(op is Op.REQUEUE for op, _ in self._unconfirmed)

    @property
    def adopted(self) -> Collection[str]:
        """The workers whose processes the janitor watches."""
        return self._adopted

    def start(self) -> None:
        """Fork a janitor and send it all that it must know. If that is not possible now, it is tried again later."""
        try:
            self.fork()
        except OSError as error:
            self._back_off("the janitor could not be started", error=str(error))
            return
        self._received_s = self.started_s
        log(_logger, logging.INFO, "janitor started", pid=self.pid)
        if self._app is not None:
            self._send(Described(self._app))  # first: it says what becomes of messages
        for message in (*self._adopted.values(), *self._unconfirmed.values()):
            self._send(message)

    @property
    def starts_at_s(self) -> float:
        """When the next one is to start; infinite while there is one, or none is needed. Monotonic seconds."""
        is_needed = not self.pid and not self.signed_off and self._restart.failures > 0
        return self._restart.at_s if is_needed else math.inf

    def register(self, worker: str) -> None:
        """Register a worker."""
        self._request(worker, Register(worker))

    def describe(self, app: Mapping[str, Any] | None) -> None:
        """Say what the app of the newest workers declares; None says nothing."""
        if app is not None and app != self._app:
            self._app = app
            self._send(Described(app))

    def adopt(self, worker: str, pid: int, slot: int) -> None:
        """Watch a worker's process, in case the supervisor dies."""
        self._adopted[worker] = Adopt(worker, pid, slot)
        self._send(self._adopted[worker])

    def requeue(self, worker_exit: WorkerExit) -> None:
        """Settle a dead worker's messages. Its registration is not needed any more."""
        self._adopted.pop(worker_exit.worker, None)
        self._unconfirmed.pop((Op.REGISTER, worker_exit.worker), None)
        self._request(worker_exit.worker, Requeue(worker_exit))

    def release_prefetched(self, worker: str, queue: str, running: str, delivery: int) -> None:
        """Give back what a worker holds beyond this message. Sent once: when it is late, it is of no use."""
        self._send(ReleasePrefetched(worker, queue, running, delivery))

    def answer(self, answer: Answer) -> None:
        """Store the answer to a request. Sent once: it is lost if the janitor dies."""
        self._send(answer)

    def keep_profile(self, profile: KeepProfile) -> None:
        """Store the samples of a slow message. The next ones have these, too, if the janitor dies."""
        self._send(profile)

    def sign_off(self) -> None:
        """Unregister the supervisor; the janitor exits after that."""
        self._request("", SignOff())

    def receive(self) -> list[JanitorReply]:
        """The janitor's messages. Confirmations are noted."""
        messages = self.read(FROM_JANITOR)
        if messages:
            self._received_s = clock.monotonic()
        for message in messages:
            if isinstance(message, Registered):
                self._unconfirmed.pop((Op.REGISTER, message.worker), None)
            elif isinstance(message, Requeued):
                self._unconfirmed.pop((Op.REQUEUE, message.worker), None)
            elif isinstance(message, SignedOff):
                self._unconfirmed.pop((Op.LEAVE, ""), None)
                self.signed_off = True
            elif isinstance(message, QueueLengths):
                self.lengths, self.lengths_at_s = message.queues, self._received_s
                self.runs = message.runs
            elif isinstance(message, Alive):
                self.redis_is_away = self.redis_is_away if message.away is None else message.away
                self.aside = self.aside if message.aside is None else message.aside
                self.paused = self.paused if message.paused is None else message.paused
        return messages

    def check(self) -> None:
        """Reap a dead janitor, kill a stuck one, start the next one when it is time."""
        now_s = clock.monotonic()
        if self.pid and now_s - self._received_s > self._silence_s:
            log(_logger, logging.ERROR, "the janitor is stuck, replacing it", pid=self.pid)
            os.kill(self.pid, signal.SIGKILL)
            self._received_s = now_s
        if self.reap() is not None:
            self.receive()
            self.close()
            if not self.signed_off:
                self._back_off("the janitor has died, starting another one")
        if not self.pid and not self.signed_off and now_s >= self._restart.at_s:
            self.start()

    def _request(self, worker: str, message: Register | Requeue | SignOff) -> None:
        self._unconfirmed[message.op, worker] = message
        self._send(message)

    def _send(self, message: JanitorRequest) -> None:
        if self.channel is not None:
            self.channel.send(message)

    def _back_off(self, sentence: str, **fields: Any) -> None:
        if clock.monotonic() - self.started_s > _HEALTHY_S:
            self._restart.reset()
        wait_s = self._restart.failed()
        log(_logger, logging.ERROR, sentence, wait_s=round(wait_s, 3), **fields)
