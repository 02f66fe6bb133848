"""The control socket of a pool: where it is, how it is bound, and how commands are answered. Open to its own user only.

A command is one line, and so is the reply. `status` returns the whole snapshot as JSON, `check` returns `ok` or the
state that keeps the pool from ordinary work, `ready` returns `ok` or the reason why the pool is not ready, `idle`
returns `ok` or what the pool still runs or holds.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any, Callable, Mapping

from bizzmq.errors import ConfigurationError
from bizzmq.utils import private_files, scratch_directory
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.supervisor")

_PATTERN = "pool-*.sock"
STATUS, CHECK, READY, IDLE = "status", "check", "ready", "idle"
OFF, AUTO = "off", "auto"
TOO_LARGE = b"error: the request is too large\n"


class ControlSocket:
    """A bound control socket, and its file.

    Args:
        where: `auto`, or a path.

    Raises:
        ConfigurationError: the socket cannot be created there.
    """

    def __init__(self, where: str) -> None:
        self.path = own_path() if where == AUTO else check_path(Path(where).absolute())
        self.listener = bind(self.path)

    def close(self) -> None:
        """Stop listening, and remove the file unless another pool has replaced it."""
        self.listener.close()
        if not is_open(self.path):
            remove(self.path)


def answer_with(answers: Mapping[str, Callable[[], Any]]) -> Callable[[bytes], bytes | None]:
    """An `answer` for RequestServer that sends text as it is and anything else as JSON."""

    def answer(request: bytes) -> bytes | None:
        line, newline, _ = request.partition(b"\n")
        if not newline:
            return None
        command = answers.get(line.decode("ascii", "replace").strip())
        reply = command() if command is not None else "error: say status, check, ready or idle"
        text = reply if isinstance(reply, str) else json.dumps(reply)
        return text.encode("utf-8") + b"\n"

    return answer


def candidates() -> list[list[Path]]:
    """The directories that may hold control sockets, grouped by place, the preferred place first.

    They may not exist, and may be unsuitable.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    found = [[Path(runtime) / "bizzmq"]] if Path(runtime).is_absolute() else []
    usual = _usual()
    return [*found, [usual, *private_files.spare_directories(usual)]] if usual is not None else found


def own_path() -> Path:
    """The path at which this process's pool listens, in a private directory of its user. Creates that directory.

    In the temporary directory, any user may take the usual name first. Then the pool uses another name, and
    `candidates` finds that directory by its owner.

    Raises:
        ConfigurationError: the directory cannot be created or used.
    """
    directory = _own_directory()
    for path in directory.glob(_PATTERN):
        if not is_open(path):
            remove(path)
    return directory / f"pool-{os.getpid()}.sock"


def _own_directory() -> Path:
    places = candidates()
    if not places:
        raise ConfigurationError(
            f"{scratch_directory.NONE}, and the control socket needs one: set TMPDIR, name another place for the "
            "socket, or use none: --control off"
        )
    directory = places[0][0]
    try:
        if directory == _usual():
            directory = _unless_taken(directory)
        with private_files.open_directory(directory, create=True) as found:
            return found.path
    except private_files.RefusedError as error:
        problem = error.problem
    except OSError as error:
        problem = f"cannot be created: {error.strerror}"
    raise ConfigurationError(
        f"the directory of control sockets, {directory}, {problem}; name another place, or use none: --control off"
    )


def _usual() -> Path | None:
    directory = scratch_directory.parent()
    return directory / f"bizzmq-{os.geteuid()}" if directory is not None else None


def _unless_taken(usual: Path) -> Path:
    """The usual directory, or another one if a different user owns the usual one."""
    if not private_files.is_taken(usual):
        return usual
    spare = next(iter(private_files.spare_directories(usual)), None) or private_files.new_name(usual)
    log(_logger, logging.WARNING, "the usual directory of control sockets is not ours, another one is used",
        usual=str(usual), path=str(spare))  # fmt: skip
    return spare


def check_path(path: Path) -> Path:
    """The path, checked for `bind`. Removes the socket of a dead pool.

    Raises:
        ConfigurationError: no socket can be bound there.
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
            raise ConfigurationError(f"{path} exists and is not a socket")
        if is_open(path):
            raise ConfigurationError(f"another pool answers on {path}")
        remove(path)
    return path


def bind(path: Path) -> socket.socket:
    """Listen at a path, for its owner only. The file appears when the socket listens already.

    Raises:
        ConfigurationError: the path is too long, or the socket cannot be created.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    if len(os.fsencode(unfinished)) > private_files.SOCKET_PATH_LIMIT_BYTES:
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


def open_sockets() -> list[Path]:
    """The open control sockets of this user's pools, in the first place that has any."""
    for place in candidates():
        usable = [directory for directory in place if private_files.is_private(directory)]
        sockets = [path for directory in usable for path in sorted(directory.glob(_PATTERN))]
        found = [path for path in sockets if is_open(path)]
        if found:
            return found
    return []


def is_open(path: Path) -> bool:
    """Whether a process listens there. True for a stopped or busy pool, and if this process has no descriptor left."""
    try:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        return True  # no descriptor is left to find out
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
    """Remove the socket of a dead pool, if possible. Never removes anything but a socket."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except OSError:
        return  # it is gone already, or `bind` reports it
