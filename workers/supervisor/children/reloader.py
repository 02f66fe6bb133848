"""For development: a child that watches the source files and reports changes.

It is a child because the library that watches runs a thread, and the supervisor must not have one when it forks.
"""

from __future__ import annotations

import importlib
import logging
import signal
from pathlib import Path
from typing import Any, Callable, Iterable

from bizzmq.errors import ConfigurationError
from bizzmq.utils.logs import log
from bizzmq.workers import exit_codes
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.reloader_messages import FROM_RELOADER, TO_RELOADER, FilesChanged
from bizzmq.workers.process import fork, syscalls
from bizzmq.workers.process.child import ChildProcess

_logger = logging.getLogger("bizzmq.supervisor")
_LOOK_MS = 500
_LIBRARY = "watchfiles"


def require_library() -> None:
    """Raises ConfigurationError if the extra is not installed, or does not work."""
    try:
        importlib.import_module(_LIBRARY)
    except ImportError as error:  # it is not installed, or not built for this machine
        raise ConfigurationError("--reload needs the package watchfiles: pip install watchfiles") from error


class Reloader(ChildProcess):
    """Watches the source files below a folder."""

    def __init__(self, folder: Path, close_in_child: Callable[[], Iterable[int]]) -> None:
        super().__init__(self._watch, close_in_child)
        self._folder = folder

    def start(self) -> None:
        """Begin to watch.

        Raises:
            OSError: the system cannot fork now.
        """
        self.fork()
        log(_logger, logging.INFO, "watching the source files", folder=str(self._folder), pid=self.pid)

    def changed(self) -> list[str]:
        """The files that have changed since the last call."""
        files = [name for message in self.read(FROM_RELOADER) for name in message.files]
        if self.reap() is not None:
            log(_logger, logging.ERROR, "the source files are not watched any more")
            self.close()
        return files

    def _watch(self, channel: Channel) -> int:
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        syscalls.die_with_parent(signal.SIGKILL)
        fork.unblock_signals()
        watchfiles: Any = importlib.import_module(_LIBRARY)
        looks = watchfiles.watch(
            self._folder, watch_filter=watchfiles.PythonFilter(), rust_timeout=_LOOK_MS, yield_on_timeout=True
        )
        for changes in looks:
            channel.receive(TO_RELOADER)
            if channel.closed:
                break
            if changes:
                channel.send(FilesChanged(sorted({path for _, path in changes})))
        return exit_codes.DRAINED
