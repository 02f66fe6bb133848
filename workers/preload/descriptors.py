"""Open descriptors: a forked child shares the open files behind them, with their positions."""

from __future__ import annotations

import os
import re
import socket
import stat
from typing import Callable, Collection, Iterator, Mapping, NamedTuple

from bizzmq.preload import Declared
from bizzmq.workers.preload.finding import Effect, Finding

TABLE = "/proc/self/fd"
"""Missing if /proc is not mounted, or does not show this process."""
_HARMLESS_DEVICES = re.compile(r"/dev/(null|zero|full|u?random|tty|console|pts/\d+|ptmx|log|kmsg|cpu\b.*)")
_POSITION = "all workers would share its position, and miss what another one reads"
_SHARED = "all workers would share it, and take data from each other"
_ANONYMOUS: Mapping[str, tuple[str, str]] = {
    "[eventpoll]": ("event loop", "all workers would share its epoll instance"),
    "inotify": ("inotify", _SHARED),
    "[inotify]": ("inotify", _SHARED),
    "[fanotify]": ("fanotify", _SHARED),
    "[timerfd]": ("timer", "all workers would share it, and one of them takes each tick"),
    "[signalfd]": ("signalfd", _SHARED),
    "[eventfd]": ("eventfd", _SHARED),
    "[pidfd]": ("pidfd", "it refers to a child of this process, which is not a child of a worker"),
    "[io_uring]": ("io_uring", _SHARED),
    "[userfaultfd]": ("userfaultfd", _SHARED),
    "[perf_event]": ("perf event", "it measures this process only"),
}  # fmt: skip


class Descriptor(NamedTuple):
    """An open descriptor, and what it refers to, as the kernel names it."""

    number: int
    target: str


def open_now() -> set[Descriptor]:
    """The open descriptors of this process; empty where the kernel does not list them."""
    found: set[Descriptor] = set()
    try:
        names = os.listdir(TABLE)  # noqa: PTH208 - only the names are needed
    except OSError:
        return found
    for entry in names:
        try:
            found.add(Descriptor(int(entry), os.readlink(f"{TABLE}/{entry}")))
        except OSError:
            continue  # the descriptor of this listing
    return found


def findings(
    new: Collection[Descriptor], declared: Declared, own: Callable[[], Collection[int]], mapped: Collection[int]
) -> Iterator[Finding]:
    """The findings about new descriptors.

    Args:
        own: returns the descriptors of BizzMQ's clients, which a forked child opens anew.
        mapped: inodes of the files that are mapped into memory.
    """
    skipped = own() if new else ()
    for number, target in sorted(new):
        if number not in skipped:
            found = _judge(number, target, mapped)
            if found is not None:
                is_declared = _is_declared(number, found.what, declared)
                yield found._replace(effect=Effect.DECLARED, why="") if is_declared else found


def _is_declared(number: int, what: str, declared: Declared) -> bool:
    if number in declared.descriptors:
        now = os.fstat(number)
        if declared.descriptors[number] == (now.st_dev, now.st_ino):
            return True
    return any(name in (what, what.partition(",")[0]) for name in declared.names)


def _judge(number: int, target: str, mapped: Collection[int]) -> Finding | None:
    try:
        about = os.fstat(number)
        position, flags = _position_and_flags(number)
    except OSError:
        return None  # closed meanwhile
    if stat.S_ISSOCK(about.st_mode):
        return _socket(number)
    if stat.S_ISFIFO(about.st_mode):
        return Finding("pipe", target, Effect.OFF, _SHARED, number)
    if target.startswith("anon_inode:"):
        kind, why = _ANONYMOUS.get(target[len("anon_inode:") :], ("descriptor", _SHARED))
        return Finding(kind, target, Effect.OFF, why, number)
    if stat.S_ISDIR(about.st_mode):
        return Finding("directory", target, Effect.HARMLESS, "its position is not used", number)
    if stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
        if _HARMLESS_DEVICES.fullmatch(target):
            return Finding("device", target, Effect.HARMLESS, "it has no state", number)
        return Finding("device", target, Effect.OFF, "the device knows this process only", number)
    return _file(number, target, position, flags, about.st_ino in mapped)


def _file(number: int, target: str, position: int, flags: int, is_mapped: bool) -> Finding:
    writes = flags & os.O_ACCMODE != os.O_RDONLY
    if hasattr(os, "O_PATH") and flags & os.O_PATH:
        return Finding("file", target, Effect.HARMLESS, "it is only a path", number)
    if writes and flags & os.O_APPEND and flags & os.O_ACCMODE == os.O_WRONLY:
        return Finding("file", target, Effect.HARMLESS, "it is only appended to", number)
    if is_mapped and position == 0:
        return Finding("file", target, Effect.HARMLESS, "it is mapped into memory, its position is not used", number)
    mode = "for writing" if flags & os.O_ACCMODE == os.O_WRONLY else "for reading and writing" if writes else ""
    what = f"{target}, at byte {position}" + (f", open {mode}" if mode else "")
    why = "all workers would share its position, and overwrite each other's data" if writes else _POSITION
    return Finding("file", what, Effect.OFF, why, number)


def _position_and_flags(number: int) -> tuple[int, int]:
    with open(f"/proc/self/fdinfo/{number}", "rb") as info:  # noqa: PTH123 - many, and short
        fields = dict(line.split(b":", 1) for line in info.read().splitlines() if b":" in line)
    return int(fields[b"pos"]), int(fields[b"flags"], 8)


def _socket(number: int) -> Finding:
    with socket.socket(fileno=os.dup(number)) as opened:
        family, kind = opened.family, opened.type & 0xF
        peer, own = _address(opened.getpeername), _address(opened.getsockname)
        is_listening = kind == socket.SOCK_STREAM and _option(opened, socket.SO_ACCEPTCONN)
    if family == getattr(socket, "AF_NETLINK", -1):
        return Finding("socket", "netlink", Effect.OFF, _SHARED, number)
    if kind == socket.SOCK_DGRAM and peer:
        return Finding("socket", f"to {peer}", Effect.HARMLESS, "each datagram is sent whole", number)
    if is_listening:
        return Finding("socket", f"listening on {own}", Effect.OFF, "all workers would accept from it", number)
    if peer:
        return Finding("socket", f"to {peer}", Effect.OFF, "all workers would talk over one connection", number)
    return Finding("socket", (own and f"bound to {own}") or "not connected", Effect.OFF, _SHARED, number)


def _option(opened: socket.socket, number: int) -> bool:
    try:
        return bool(opened.getsockopt(socket.SOL_SOCKET, number))
    except OSError:
        return False


def _address(ask: Callable[[], object]) -> str:
    """host:port, the path of a Unix socket, or "" if there is none."""
    try:
        found = ask()
    except OSError:
        return ""
    if isinstance(found, tuple) and len(found) >= 2:
        host = f"[{found[0]}]" if ":" in str(found[0]) else found[0]
        return f"{host}:{found[1]}"
    if isinstance(found, bytes):
        return "@" + found.lstrip(b"\0").decode("utf-8", "backslashreplace") if found else "an unnamed socket"
    return str(found) or "an unnamed socket"
