"""Where the control sockets of this user's pools are, and which of them are dead."""

from __future__ import annotations

import logging
import os
import socket
import stat
import tempfile
from pathlib import Path

from bizzmq import files
from bizzmq.errors import ConfigurationError
from bizzmq.logs import log

_logger = logging.getLogger("bizzmq.supervisor")

SOCKET_PATH_LIMIT_BYTES = 100
"""Linux takes 107 bytes, macOS 103."""
_PATTERN = "pool-*.sock"


def candidates() -> list[list[Path]]:
    """The directories that may hold them, by place and in order of preference; they need not be there, nor be fit."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    found = [[Path(runtime) / "bizzmq"]] if Path(runtime).is_absolute() else []
    usual = _usual()
    return [*found, [usual, *files.spare_directories(usual)]]


def own_path() -> Path:
    """Where this process's pool is to listen, in a directory that is its user's alone. Creates that directory.

    In the temporary directory, where anybody may take the usual name first, it is another one then: `candidates`
    knows it by its owner.

    Raises:
        ConfigurationError: there can be no such directory.
    """
    directory = candidates()[0][0]
    try:
        if directory == _usual():
            directory = _in_temporary_directory(directory)
        with files.open_directory(directory, create=True) as found:
            directory = found.path
        problem = ""
    except files.RefusedError as error:
        problem = error.problem
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


def _usual() -> Path:
    return Path(tempfile.gettempdir()) / f"bizzmq-{os.geteuid()}"


def _in_temporary_directory(usual: Path) -> Path:
    """The usual directory, or if that is somebody else's, another one of our own."""
    if not files.is_taken(usual):
        return usual
    spare = next(iter(files.spare_directories(usual)), None) or files.new_name(usual)
    log(_logger, logging.WARNING, "the usual directory of control sockets is not ours, another one is used",
        usual=str(usual), path=str(spare))  # fmt: skip
    return spare


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
    """The sockets of this user's pools that answer, in the first place that has any."""
    for place in candidates():
        usable = [directory for directory in place if files.is_private(directory)]
        sockets = [path for directory in usable for path in sorted(directory.glob(_PATTERN))]
        found = [path for path in sockets if answers(path)]
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
    """Remove a dead pool's socket, if that can be done. What is no socket is never removed."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except OSError:
        return  # it is gone, or will be said to be in the way
