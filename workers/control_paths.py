"""Where the control sockets of this user's pools are, and which of them are dead."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

from bizzmq.errors import ConfigurationError
from bizzmq.workers import private_directory

SOCKET_PATH_LIMIT_BYTES = 100
"""Linux takes 107 bytes, macOS 103."""
_PATTERN = "pool-*.sock"


def candidates() -> list[Path]:
    """The directories that may hold them; the first one is where a new pool puts its own."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    found = [Path(runtime) / "bizzmq"] if Path(runtime).is_absolute() else []
    return [*found, Path(tempfile.gettempdir()) / f"bizzmq-{os.geteuid()}"]


def own_path() -> Path:
    """Where this process's pool is to listen, in a directory that is its user's alone. Creates that directory.

    Raises:
        ConfigurationError: there can be no such directory.
    """
    directory = candidates()[0]
    try:
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = private_directory.problem(directory)
    except OSError as error:
        problem = f"cannot be created: {error.strerror}"
    if problem:
        raise ConfigurationError(
            f"the directory of control sockets, {directory}, {problem}; name another place, or none: --control off"
        )
    for path in directory.glob(_PATTERN):
        if not answers(path):
            remove(path)
    return directory / f"pool-{os.getpid()}.sock"


def check_named(path: Path) -> Path:
    """A path that was named by somebody, fit to be bound; what a dead pool has left there is removed.

    Raises:
        ConfigurationError: it is not fit.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise ConfigurationError(f"the control socket {path} cannot be used: {error.strerror}") from error
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no directory {path.parent} for the control socket")
    if found is not None:
        if not stat.S_ISSOCK(found.st_mode):
            raise ConfigurationError(f"{path} exists and is no socket")
        if answers(path):
            raise ConfigurationError(f"another pool answers on {path}")
        remove(path)
    return path


def bind(path: Path) -> socket.socket:
    """Listen at a path, for its owner alone. Whoever finds a socket there finds one that listens.

    Raises:
        ConfigurationError: that cannot be.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    if len(os.fsencode(unfinished)) > SOCKET_PATH_LIMIT_BYTES:
        raise ConfigurationError(f"the control socket's path is too long: {path}; name another place by --control")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        remove(unfinished)
        listener.bind(str(unfinished))
        listener.listen(16)
        unfinished.rename(path)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"the control socket {path} cannot be created: {error.strerror}") from error
    finally:
        os.umask(before)
    return listener


def living() -> list[Path]:
    """The sockets of this user's pools that answer, in the first directory that has any."""
    for directory in candidates():
        try:
            usable = not private_directory.problem(directory)
        except OSError:
            continue
        found = [path for path in sorted(directory.glob(_PATTERN)) if answers(path)] if usable else []
        if found:
            return found
    return []


def answers(path: Path) -> bool:
    """Whether somebody listens there, as far as can be known. A pool that is stopped, or busy, counts."""
    try:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        return True  # no descriptor is left to ask with
    with client:
        client.setblocking(False)
        try:
            client.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def remove(path: Path) -> None:
    """Remove a dead pool's socket, if that can be done."""
    try:
        path.unlink()
    except OSError:
        return  # it is gone, or will be said to be in the way
