"""`embedded://`: a private server in a directory, which the first user starts and which ends after the last one.

Each process that uses the server holds a shared lock on a file in its directory. A keeper process is the server's
parent, and shuts it down when that lock is free (see `bizzmq.embedded.keeper`).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from bizzmq.embedded import keeper
from bizzmq.embedded.paths import directory_of, find_server, prepare, socket_path
from bizzmq.errors import BizzMQError, BrokerUnavailableError, ConfigurationError
from bizzmq.utils import private_files, secret_settings

START_LOCK, LOG = "start.lock", "server.log"

READY_S = 20.0
"""How long a server may take to start or to end, seconds, not counting the time to load its data."""
POLL_S = 0.005
MAX_KEEPERS = 3
"""How often a keeper is started before the server counts as broken."""
LOG_LIMIT_BYTES = 1_000_000


def is_embedded(url: str) -> bool:
    """Whether this URL names an embedded server."""
    return url.lower().startswith("embedded:")


def join(url: str) -> EmbeddedServer:
    """The server for `embedded://` (in the user's state directory) or `embedded:///absolute/directory`.

    The server is started if it is not running, and answers when this returns.

    Raises:
        ConfigurationError: the URL is malformed, the directory cannot be used, or no server program is installed.
        BrokerUnavailableError: the server does not start; the text names its log.
    """
    directory = prepare(directory_of(url))
    try:
        users_lock = keeper.lock(directory / keeper.USERS_LOCK, fcntl.LOCK_SH, READY_S)
    except OSError as error:
        raise ConfigurationError(
            f"cannot use {keeper.USERS_LOCK} in the directory {directory}: {error.strerror}"
        ) from error
    if users_lock is None:
        raise BrokerUnavailableError(f"the embedded server in {directory} is shutting down, but does not end")
    server = EmbeddedServer(directory, users_lock)
    try:
        server.ensure()
    except BaseException:
        server.close()
        raise
    return server


class EmbeddedServer:
    """A running server, which keeps running at least until `close`, or until this process and its forks end.

    Attributes:
        url: the URL for any Redis client, `unix:///...sock?db=0`.
        directory: the directory of its data, its log and its locks.
    """

    def __init__(self, directory: Path, users_lock: int) -> None:
        self.directory = directory
        self._socket = socket_path(directory)
        self.url = f"unix://{quote(str(self._socket))}?db=0"
        # A bare descriptor: garbage collection does not close it while a client needs it, and forked workers keep it
        # until they end.
        self._users_lock: int | None = users_lock

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop using the server, which ends after its last user. May be called again."""
        users_lock, self._users_lock = self._users_lock, None
        if users_lock is not None:
            os.close(users_lock)

    def ensure(self) -> None:
        """Start the server again if it has ended although it was in use, for example because its keeper was killed.

        Takes a tenth of a millisecond if the server is running. Raises the errors of `join`.
        """
        try:
            if self._serves() and not keeper.is_locked(self.directory / START_LOCK):
                return
            start_lock = keeper.lock(self.directory / START_LOCK, fcntl.LOCK_EX, READY_S)
            if start_lock is None:
                raise BrokerUnavailableError(f"another process is starting the server in {self.directory} and is stuck")
            try:
                if not self._serves():
                    self._start()
            finally:
                keeper.unlock(start_lock)
        except BizzMQError:
            raise
        except OSError as error:
            raise ConfigurationError(f"a file in {self.directory} cannot be used: {error.strerror}") from error

    def _serves(self) -> bool:
        # A reply alone is not enough: the server of a killed keeper answers until it ends.
        return self._has_keeper() and keeper.request(self._socket, b"PING") == b"+PONG"

    def _has_keeper(self) -> bool:
        return keeper.is_locked(self.directory / keeper.KEEPER_LOCK)

    def _start(self) -> None:
        spawned = 0
        deadline_s = time.monotonic() + READY_S
        while time.monotonic() < deadline_s:
            if not self._has_keeper():
                # The first one may have been killed; the last one has failed to start the server.
                if spawned == MAX_KEEPERS:
                    break
                self._spawn_keeper(find_server())
                spawned += 1
            answer = keeper.request(self._socket, b"PING")
            if answer == b"+PONG":
                return
            if answer.startswith(b"-LOADING"):
                deadline_s = time.monotonic() + READY_S
            time.sleep(POLL_S)
        raise BrokerUnavailableError(
            f"the embedded server in {self.directory} does not start: {self._last_log_line()} (see {LOG} there)"
        )

    def _spawn_keeper(self, binary: str) -> None:
        """Start a keeper. When this returns, it has its lock or has failed, and has another parent."""
        with private_files.open_directory(self.directory) as directory:
            log = directory.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            if os.fstat(log).st_size > LOG_LIMIT_BYTES:
                os.ftruncate(log, 0)
            # -I and -S: only the standard library, and in particular not this package's `queue` as a top-level module.
            command = [
                sys.executable,
                "-I",
                "-S",
                keeper.__file__,
                str(self.directory),
                str(self._socket),
                binary,
            ]
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=secret_settings.environment_without(),
            ).wait()  # fmt: skip
        finally:
            os.close(log)

    def _last_log_line(self) -> str:
        with private_files.open_directory(self.directory) as directory:
            log = directory.open(LOG, os.O_RDONLY)
        with open(log, "rb") as written:  # noqa: PTH123 - a descriptor
            written.seek(max(0, os.fstat(log).st_size - 65536))
            lines = written.read().decode("utf-8", "replace").splitlines()
        return next((line for line in reversed(lines) if line.strip() and ":K " not in line), "unknown reason")
