"""A child process of the supervisor with a channel to it."""

from __future__ import annotations

import os
import signal
from typing import Any, Callable, Iterable

from bizzmq.utils import backoff, clock
from bizzmq.workers.ipc.channel import Channel, Direction, M
from bizzmq.workers.ipc.worker_exit import ExitStatus
from bizzmq.workers.process import fork, syscalls

ChildMain = Callable[[Channel], int]
"""All that a child does, given its end of the channel; returns its exit code."""


def fork_with_channel(main: ChildMain, close_in_child: Iterable[int]) -> tuple[int, Channel]:
    """Fork a child that runs `main` with its end of a new channel; returns its pid and the other end.

    Args:
        close_in_child: descriptors that the child must not keep open: an end held elsewhere would hide a death.

    Raises:
        OSError: the system cannot fork now, or the process may not open more descriptors.
    """
    own, other = Channel.pair()

    def run() -> int:
        return main(other)

    try:
        return fork.fork(run, close=[*close_in_child, own.fileno()]), own
    except OSError:
        own.close()
        raise
    finally:
        other.close()


class ChildProcess:
    """One child at a time: it can be started again when the one before is reaped.

    Args:
        main: what the child does.
        close_in_child: returns the descriptors that the child must not keep open.

    Attributes:
        pid: 0 while there is no child.
        channel: this end of the channel, or None.
        started_s: when the child was started. Monotonic seconds.
    """

    def __init__(self, main: ChildMain, close_in_child: Callable[[], Iterable[int]]) -> None:
        self._main = main
        self._close_in_child = close_in_child
        self.pid = 0
        self.channel: Channel | None = None
        self.started_s = 0.0

    def fork(self) -> None:
        """Fork the child.

        Raises:
            OSError: as `fork_with_channel`; nothing has changed.
        """
        self.pid, self.channel = fork_with_channel(self._main, self._close_in_child())
        self.started_s = clock.monotonic()

    def read(self, direction: Direction[M]) -> list[M]:
        """The messages that have arrived from the child."""
        return [] if self.channel is None else self.channel.receive(direction)

    def reap(self) -> ExitStatus | None:
        """How the child ended; None while it lives, or if there is none. Its last messages can still be read."""
        ended = self._wait(self.pid) if self.pid else None
        if ended is None:
            return None
        self.pid = 0
        return ExitStatus.of(*ended)

    def _wait(self, pid: int) -> tuple[int, Any] | None:
        """As `syscalls.reap`; a subclass may end more than the child."""
        return syscalls.reap(pid)

    def close(self) -> None:
        """Close the channel."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def kill(self) -> None:
        """Kill the child if there is one, and reap it."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
        self.close()


class RestartDelay:
    """When a child that has failed is started again: each wait is twice the one before.

    Attributes:
        at_s: not before this moment. Monotonic seconds.
        failures: how often it has failed since the last `reset`.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.at_s = 0.0
        self.failures = 0

    def failed(self) -> float:
        """The child has failed once more; returns the seconds to wait."""
        wait_s = backoff.doubled(self._first_s, self.failures, self._longest_s)
        self.failures += 1
        self.at_s = clock.monotonic() + wait_s
        return wait_s

    def reset(self) -> None:
        """Forget earlier failures."""
        self.failures = 0
