"""Finds a running pool of this user and sends it a command over its control socket."""

from __future__ import annotations

import socket
from pathlib import Path

from bizzmq.errors import PoolSilentError
from bizzmq.utils import clock, scratch_directory
from bizzmq.workers.control import control_socket

MAX_REPLY_BYTES = 4 * 1024 * 1024


def find(where: str) -> Path:
    """The path of a pool's control socket: `where` itself, or with `auto` the socket of the only running pool.

    Raises:
        PoolSilentError: no pool answers, or more than one.
    """
    if where != control_socket.AUTO:
        return Path(where)
    found = control_socket.open_sockets()
    if len(found) == 1:
        return found[0]
    if found:
        raise PoolSilentError(f"{len(found)} pools run here, name one by --control: {', '.join(map(str, found))}")
    directories = [str(directory) for place in control_socket.candidates() for directory in place]
    if not directories:
        raise PoolSilentError(f"{scratch_directory.NONE}: name the pool's socket by --control")
    raise PoolSilentError(f"no pool answers in {' or '.join(directories)}")


def ask(path: Path, command: str, timeout_s: float = 5.0) -> str:
    """The pool's reply to a command, without the end of the line.

    Raises:
        PoolSilentError: no complete reply in time.
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
