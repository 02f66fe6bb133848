"""The control socket: how a pool is asked what it does. One line in, one line out, for its own user only.

`status` answers with the whole snapshot as JSON, `check` with `ok` or the state that keeps the pool from
ordinary work, `ready` with `ok` or why it is not ready.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Callable, Mapping

from bizzmq import clock
from bizzmq.errors import BizzMQError
from bizzmq.workers import control_paths

STATUS, CHECK, READY = "status", "check", "ready"
OFF, AUTO = "off", "auto"
TOO_LARGE = b"error: the request is too large\n"
MAX_REPLY_BYTES = 4 * 1024 * 1024


class PoolSilentError(BizzMQError):
    """No pool answers; the text says where it was looked for."""


class ControlSocket:
    """A bound control socket, and its file.

    Args:
        where: `auto`, or a path.

    Raises:
        ConfigurationError: it cannot be had there.
    """

    def __init__(self, where: str) -> None:
        self.path = control_paths.own_path() if where == AUTO else control_paths.check_named(Path(where).absolute())
        self.listener = control_paths.bind(self.path)

    def close(self) -> None:
        """Listen no more, and remove the file, unless another pool has put its own there by now."""
        self.listener.close()
        if not control_paths.answers(self.path):
            control_paths.remove(self.path)


def answer_with(answers: Mapping[str, Callable[[], Any]]) -> Callable[[bytes], bytes | None]:
    """Replies for a StreamServer: text as it is, anything else as JSON."""

    def answer(request: bytes) -> bytes | None:
        line, newline, _ = request.partition(b"\n")
        if not newline:
            return None
        asked = answers.get(line.decode("ascii", "replace").strip())
        said = asked() if asked is not None else "error: say status, check or ready"
        text = said if isinstance(said, str) else json.dumps(said)
        return text.encode("utf-8") + b"\n"

    return answer


def find(where: str) -> Path:
    """The control socket that is meant: the named one, or with `auto` the only one whose pool answers.

    Raises:
        PoolSilentError: there is none, or more than one.
    """
    if where != AUTO:
        return Path(where)
    found = control_paths.living()
    if len(found) == 1:
        return found[0]
    if found:
        raise PoolSilentError(f"{len(found)} pools run here, name one by --control: {', '.join(map(str, found))}")
    places = [str(directory) for place in control_paths.candidates() for directory in place]
    raise PoolSilentError(f"no pool answers in {' or '.join(places)}")


def ask(path: Path, command: str, timeout_s: float = 5.0) -> str:
    """What a pool answers, without the end of the line.

    Raises:
        PoolSilentError: nothing in time.
    """
    give_up_s = clock.monotonic() + timeout_s
    reply = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout_s)
            client.connect(str(path))
            client.sendall(command.encode("ascii") + b"\n")
            while not reply.endswith(b"\n"):
                client.settimeout(max(0.001, give_up_s - clock.monotonic()))
                chunk = client.recv(65536)
                reply += chunk
                if not chunk or len(reply) > MAX_REPLY_BYTES:
                    raise PoolSilentError(f"the pool at {path} broke off its answer")
    except socket.timeout as error:
        raise PoolSilentError(f"the pool at {path} has not answered within {timeout_s:g} s") from error
    except OSError as error:
        raise PoolSilentError(f"no pool answers at {path}: {error.strerror or error}") from error
    return reply.decode("utf-8", "replace").rstrip("\n")
