"""What a worker and its supervisor tell each other while the worker lives."""

from __future__ import annotations

from typing import Callable

from bizzmq.utils import clock
from bizzmq.utils.readiness import readable
from bizzmq.utils.stop_event import StopEvent
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.worker_messages import TO_WORKER, Go, HoldsSeveral, Leave, Recycle

_BACKLOG_INTERVAL_S = 0.1


class SupervisorChannel:
    """A worker's end of the channel to its supervisor.

    Args:
        on_leave: called when the supervisor asks the worker to leave.
    """

    def __init__(self, channel: Channel, on_leave: Callable[[], None]) -> None:
        self._channel = channel
        self._on_leave = on_leave
        self._next_backlog_s = 0.0

    @property
    def closed(self) -> bool:
        """Whether the supervisor has died, as of the last `check`."""
        return self._channel.closed

    def is_gone(self) -> bool:
        """Whether the supervisor has died by now. Only before this worker has booted: it drops what has arrived."""
        self.check()
        return self.closed

    def check(self) -> list[Go | Leave]:
        """Read the messages that have arrived, without waiting, and obey a request to leave."""
        if not readable(0.0, self._channel.fileno()):
            return []
        messages = self._channel.receive(TO_WORKER)
        if any(isinstance(message, Leave) for message in messages):
            self._on_leave()
        return messages

    def wait_for_go(self, stop: StopEvent) -> Go | None:
        """Wait until this worker is registered and may start; None if it has to leave instead."""
        while not stop.requested:
            for message in self.check():
                if isinstance(message, Go):
                    return message
            if self.closed:
                return None
            stop.wait(60.0, self._channel.fileno())
        return None

    def report_backlog(self) -> None:
        """Report that this worker holds more messages than it runs.

        Sent at most every 0.1 s, so that the channel does not fill up while the supervisor stands still.
        """
        now_s = clock.monotonic()
        if now_s >= self._next_backlog_s:
            self._next_backlog_s = now_s + _BACKLOG_INTERVAL_S
            self._channel.send(HoldsSeveral())

    def request_recycling(self, *, spent: bool) -> None:
        """Ask for a replacement.

        Args:
            spent: a limit has interrupted a handler in this process, so that no other message should run in it.
        """
        self._channel.send(Recycle(spent))
