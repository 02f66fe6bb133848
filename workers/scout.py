"""For development: a child that watches the source files and says when one has changed.

A child, since the library that watches runs a thread, and the supervisor must not have one when it forks.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
from pathlib import Path
from typing import Any, Callable, Iterable

from bizzmq.errors import ConfigurationError
from bizzmq.logs import log
from bizzmq.workers import exits, platform, spawn
from bizzmq.workers.channel import Channel

_logger = logging.getLogger("bizzmq.supervisor")
_LOOK_MS = 500
_LIBRARY = "watchfiles"


def require_library() -> None:
    """Raises ConfigurationError if the extra is not installed, or does not work."""
    try:
        importlib.import_module(_LIBRARY)
    except ImportError as error:  # it is not there, or not for this machine
        raise ConfigurationError("--reload needs the package watchfiles: pip install watchfiles") from error


class Scout:
    """The supervisor's side, and the life, of the watching child."""

    def __init__(self, folder: Path, private: Callable[[], Iterable[int]]) -> None:
        self._folder = folder
        self._private = private
        self.channel: Channel | None = None
        self.pid = 0

    def start(self) -> None:
        """Begin to watch."""
        own, other = Channel.pair()

        def life() -> int:
            return self._watch(other)

        try:
            self.pid = spawn.fork(life, close=[*self._private(), own.fileno()])
        finally:
            other.close()
        self.channel = own
        log(_logger, logging.INFO, "watching the source files", folder=str(self._folder), pid=self.pid)

    def changed(self) -> list[str]:
        """The files that have changed since the last call."""
        if self.channel is None:
            return []
        files = [name for message in self.channel.receive() for name in message["files"]]
        if self.pid and platform.reap(self.pid) is not None:
            log(_logger, logging.ERROR, "the source files are not watched any more")
            self.end()
        return files

    def end(self) -> None:
        """Stop watching."""
        if self.pid and platform.reap(self.pid) is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pid = 0
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def _watch(self, channel: Channel) -> int:
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        platform.die_with_parent(signal.SIGKILL)
        spawn.unblock_signals()
        watchfiles: Any = importlib.import_module(_LIBRARY)
        looks = watchfiles.watch(
            self._folder, watch_filter=watchfiles.PythonFilter(), rust_timeout=_LOOK_MS, yield_on_timeout=True
        )
        for changes in looks:
            channel.receive()
            if channel.closed:
                break
            if changes:
                channel.send(files=sorted({path for _, path in changes}))
        return exits.DRAINED
