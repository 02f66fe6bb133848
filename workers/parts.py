"""What a pool is made of, put together. Nothing here is started yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Iterable

from bizzmq import scripts
from bizzmq.connections import connect
from bizzmq.workers.breaker import Breaker
from bizzmq.workers.channel import Channel
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.coroner import Coroner
from bizzmq.workers.crew import Crew
from bizzmq.workers.drain import Drain
from bizzmq.workers.janitor import Janitor
from bizzmq.workers.janitor_link import JanitorLink
from bizzmq.workers.nursery import Nursery
from bizzmq.workers.outlook import Outlook
from bizzmq.workers.recaller import Recaller
from bizzmq.workers.renewal import Renewal
from bizzmq.workers.scaler import Scaler
from bizzmq.workers.scoreboard import Scoreboard
from bizzmq.workers.scout import Scout
from bizzmq.workers.stack_dump import StackDump
from bizzmq.workers.stalls import Stalls
from bizzmq.workers.status import PoolStatus
from bizzmq.workers.watchdog import Watchdog
from bizzmq.workers.worker import Worker

_SILENCE_S = 10.0
"""A janitor that has been silent for so long is stuck: longer than any call to a Redis that does not answer.

It is heard before each call, of which one round can take many: a beat and a scan for each queue.
"""


class Parts:
    """The parts of one pool.

    Args:
        supervisor: the supervisor's id.
        url: the server's address.
        before_open: called before a connection is opened; for a server of our own.
        private: descriptors of the supervisor that no child may keep open: an end held elsewhere would hide a death.

    Attributes:
        pid: the supervisor's process; set it anew if that forks before it runs.
    """

    def __init__(
        self,
        supervisor: str,
        url: str,
        config: WorkerConfig,
        before_open: Callable[[], None] | None,
        private: Callable[[], Iterable[int]],
    ) -> None:
        self._supervisor = supervisor
        self._url = url
        self._config = config
        self._before_open = before_open
        self.pid = os.getpid()
        scripts.load_all()
        self.scoreboard = Scoreboard(2 * config.capacity)
        silence_s = max(_SILENCE_S, config.lease_s / 2)
        self.janitor = JanitorLink(self._janitor_life, private, silence_s, config.lease_s)
        self.crew = Crew(supervisor, config, self.scoreboard, self.janitor, self._make_worker, private)
        self.nursery = Nursery(self.crew, config, self._make_worker, private)
        self.renewal = Renewal(self.crew, self.nursery.new_template, lambda: self.nursery.may_start)
        self.stalls = Stalls(self.crew)
        self.watchdog = Watchdog(self.crew, self.renewal, config)
        breaker = Breaker(config.queues, self.scoreboard.gate)
        self.coroner = Coroner(self.crew, self.janitor, breaker, config.queues)
        self.stacks = StackDump(self.crew, config.queues)
        self.recaller = Recaller(self.crew, self.janitor, self.scoreboard, config.queues)
        self.crew.nudged = self.recaller.nudged
        self.scaler = Scaler(self.crew, config)
        self.scout = Scout(Path.cwd(), private) if config.reload else None
        self.outlook = Outlook(config)
        self.drain = Drain(config.drain_timeout_s)
        self.status = PoolStatus(
            supervisor, config, self.crew, self.nursery, self.renewal, self.janitor, self.drain, self.scoreboard.gate
        )

    def _janitor_life(self, channel: Channel) -> int:
        connection = connect(self._url, before_open=self._before_open)
        return Janitor(self._supervisor, connection, self._config, self.scoreboard, channel).main()

    def _make_worker(self, worker_id: str, slot: int, channel: Channel) -> Worker:
        record, gate = self.scoreboard.slot(slot), self.scoreboard.gate
        stack = self.crew.stacks[slot].descriptor
        return Worker(worker_id, self._url, self._config, record, channel, gate, self.pid, stack, slot=slot)

    def channels(self) -> list[Channel]:
        """The open channels to all children."""
        templates = [self.crew.template, self.nursery.template, self.renewal.next_template]
        channels = [self.janitor.channel, *(template.channel for template in templates if template)]
        channels += [self.scout.channel] if self.scout else []
        channels += [slot.channel for slot in self.crew.up]
        unique = {id(channel): channel for channel in channels if channel is not None and not channel.closed}
        return list(unique.values())

    def pids(self) -> set[int]:
        """The processes of the pool, the supervisor apart."""
        scout = {self.scout.pid} if self.scout else set()
        templates = self.nursery.pids(self.renewal.next_template)
        return scout | {self.janitor.pid, *templates, *(slot.pid for slot in self.crew.up)}
