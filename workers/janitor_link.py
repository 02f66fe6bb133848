"""The supervisor's side of the janitor: starts it, restarts it, and remembers what it is still owed."""

from __future__ import annotations

import logging
import math
import os
import signal
from typing import Any, Callable, Collection, Iterable, Mapping

from bizzmq import clock
from bizzmq.logs import log
from bizzmq.workers import platform, spawn
from bizzmq.workers.channel import Channel
from bizzmq.workers.death import Burial

_logger = logging.getLogger("bizzmq.supervisor")

_HEALTHY_S = 60.0
"""A janitor that has lived for so long makes earlier deaths forgotten."""

JanitorMain = Callable[[Channel], int]


class JanitorLink:
    """Requests to the janitor survive it: whatever it has not confirmed is asked again of the next one.

    Attributes:
        left: whether it has signed the supervisor off.
        redis_is_away: whether it could not reach Redis the last time it tried.
        aside: what is wrong with each queue, or shard of one, that cannot be worked on now.

    Args:
        main: the janitor's life, given its end of the channel.
        private: descriptors that only the supervisor may keep open.
        silence_s: a janitor that has said nothing for so long is stuck, and is replaced.
        lease_s: how long the supervisor's lease outlasts its janitor; the next one starts well before.
    """

    def __init__(
        self, main: JanitorMain, private: Callable[[], Iterable[int]], silence_s: float, lease_s: float
    ) -> None:
        self._main = main
        self._private = private
        self._silence_s = silence_s
        self._longest_wait_s = lease_s / 4
        self._owed: dict[tuple[str, str], dict[str, Any]] = {}
        self._adopted: dict[str, dict[str, Any]] = {}
        self._channel: Channel | None = None
        self._started_s = self._heard_s = 0.0
        self._start_at_s = 0.0
        self._deaths = 0
        self.pid = 0
        self.left = False
        self.redis_is_away = True
        self.aside: Mapping[str, str] = {}

    @property
    def settled(self) -> bool:
        """Whether everything that was asked of it has been done."""
        return not self._owed

    @property
    def adopted(self) -> Collection[str]:
        """The workers that it has been told of."""
        return self._adopted

    @property
    def channel(self) -> Channel | None:
        return self._channel

    def start(self) -> None:
        """Fork a janitor and tell it all that it must know."""
        try:
            own, other = Channel.pair()
        except OSError as error:
            self._back_off("the janitor could not be started", error=str(error))
            return

        def life() -> int:
            return self._main(other)

        self._channel = own
        try:
            self.pid = spawn.fork(life, close=self._private())
        except OSError as error:
            own.close()
            self._channel = None
            self._back_off("the janitor could not be started", error=str(error))
            return
        finally:
            other.close()
        self._started_s = self._heard_s = clock.monotonic()
        log(_logger, logging.INFO, "janitor started", pid=self.pid)
        for message in (*self._adopted.values(), *self._owed.values()):
            own.send(**message)

    @property
    def starts_at_s(self) -> float:
        """When the next one is to start; infinite while there is one, or none is wanted. Monotonic seconds."""
        return math.inf if self.pid or self.left or not self._deaths else self._start_at_s

    def register(self, worker: str) -> None:
        self._ask("register", worker=worker)

    def adopt(self, worker: str, pid: int, slot: int) -> None:
        message = {"op": "adopt", "worker": worker, "pid": pid, "slot": slot}
        self._adopted[worker] = message
        if self._channel is not None:
            self._channel.send(**message)

    def requeue(self, burial: Burial) -> None:
        """Have a dead worker's messages settled; a registration that is still owed is not needed any more."""
        self._adopted.pop(burial.worker, None)
        self._owed.pop(("register", burial.worker), None)
        self._ask("requeue", **burial.as_message())

    def recall(self, worker: str, queue: str, running: str, delivery: int) -> None:
        """Have given back what a worker holds beyond this message. Not owed: when it is late it is of no use."""
        if self._channel is not None:
            self._channel.send(op="recall", worker=worker, queue=queue, running=running, delivery=delivery)

    def leave(self) -> None:
        """Have the supervisor signed off; the janitor goes after that."""
        self._ask("leave", worker="")

    def receive(self) -> list[Mapping[str, Any]]:
        """What the janitor has said; confirmations have been noted."""
        if self._channel is None:
            return []
        messages = self._channel.receive()
        if messages:
            self._heard_s = clock.monotonic()
        confirms = {"registered": "register", "requeued": "requeue", "left": "leave"}
        for message in messages:
            if message["op"] in confirms:
                self._owed.pop((confirms[message["op"]], message.get("worker", "")), None)
            if message["op"] == "left":
                self.left = True
            if message["op"] == "alive":
                self.redis_is_away = message.get("away", self.redis_is_away)
                self.aside = message.get("aside", self.aside)
        return messages

    def tend(self) -> None:
        """Reap a dead janitor, kill a stuck one, start the next one when it is time."""
        now_s = clock.monotonic()
        if self.pid and now_s - self._heard_s > self._silence_s:
            log(_logger, logging.ERROR, "the janitor is stuck, replacing it", pid=self.pid)
            os.kill(self.pid, signal.SIGKILL)
            self._heard_s = now_s
        if self.pid and platform.reap(self.pid) is not None:
            self.pid = 0
            if self._channel is not None:
                self.receive()
                self._channel.close()
                self._channel = None
            if not self.left:
                self._back_off("the janitor has died, starting another one")
        if not self.pid and not self.left and now_s >= self._start_at_s:
            self.start()

    def kill(self) -> None:
        """End it at once; for a supervisor that gives up on Redis."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        if self._channel is not None:
            self._channel.close()

    def _ask(self, op: str, **fields: Any) -> None:
        message = {"op": op, **fields}
        self._owed[(op, fields["worker"])] = message
        if self._channel is not None:
            self._channel.send(**message)

    def _back_off(self, sentence: str, **fields: Any) -> None:
        lived_s = clock.monotonic() - self._started_s
        self._deaths = 1 if lived_s > _HEALTHY_S else self._deaths + 1
        wait_s = min(self._longest_wait_s, 0.05 * 2.0 ** min(self._deaths - 1, 10))
        self._start_at_s = clock.monotonic() + wait_s
        log(_logger, logging.ERROR, sentence, wait_s=round(wait_s, 3), **fields)
