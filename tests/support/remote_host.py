"""A remote host for a pool: a network namespace behind a virtual cable that a test can cut. Linux, root."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import subprocess
from typing import Iterator

_RANDOM = random.SystemRandom()


class RemoteHost:
    """A namespace that can reach only this host, by `near_address`.

    Attributes:
        command: the prefix of a command that runs there.
        near_address: the address of this host from there.
    """

    def __init__(self) -> None:
        token = f"{_RANDOM.randrange(16**6):06x}"
        self._name, self._near, self._far = f"bizzmq-{token}", f"bzn{token}", f"bzf{token}"
        self._net = f"10.{_RANDOM.randint(64, 127)}.{_RANDOM.randint(0, 255)}.{4 * _RANDOM.randint(0, 63)}"
        self.command = ("ip", "netns", "exec", self._name)
        self.near_address = self._address(1)

    def open(self) -> None:
        """Create it. Raises subprocess.CalledProcessError where that is not permitted."""
        _ip("netns", "add", self._name)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
        _ip("address", "add", f"{self.near_address}/30", "dev", self._near)
        _ip("-n", self._name, "address", "add", f"{self._address(2)}/30", "dev", self._far)
        for device in ("lo", self._far):
            _ip("-n", self._name, "link", "set", device, "up")
        self.restore()

    def cut(self) -> None:
        """Drop all packets silently: connections stay open on both sides."""
        _ip("link", "set", self._near, "down")

    def restore(self) -> None:
        _ip("link", "set", self._near, "up")

    def forget(self) -> None:
        """Drop all existing connections silently; new ones work. This is what a router does that loses its state."""
        other = f"{self._net.split('.', 1)[0]}.{int(self._net.split('.')[1]) ^ 1}.{self._net.split('.', 2)[2]}"
        _ip("-n", self._name, "address", "delete", f"{self._address(2)}/30", "dev", self._far)
        _ip("-n", self._name, "address", "add", f"{other}/32", "dev", self._far)
        _ip("-n", self._name, "route", "add", self.near_address, "dev", self._far, "src", other)
        _ip("route", "add", f"{other}/32", "dev", self._near)

    def close(self) -> None:
        """Remove it and its cable. Processes that still run there keep a namespace without a name."""
        for words in (("link", "delete", self._near), ("netns", "delete", self._name)):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip(*words)

    def _address(self, number: int) -> str:
        base, last = self._net.rsplit(".", 1)
        return f"{base}.{int(last) + number}"


@contextlib.contextmanager
def remote_host() -> Iterator[RemoteHost]:
    """A remote host for the time of the block."""
    host = RemoteHost()
    try:
        host.open()
        yield host
    finally:
        host.close()


@functools.lru_cache(maxsize=None)
def can_have_remote_hosts() -> bool:
    """Whether this user may create network namespaces here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        with remote_host():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
