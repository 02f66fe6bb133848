"""A wait for results: which commands are to be sent next, and what their replies mean. Does no I/O."""

from __future__ import annotations

from typing import Any, Callable, Dict, Hashable, Iterator, List, Sequence

from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.protocol.results import read_ending
from bizzmq.results.awaited import Awaited, Resolution, expired, not_kept

WINDOW = 500
"""Results that one blocking command waits for. Those of messages that were published first come first."""
FIRST_S, SLICE_S, SLICE_OF_MANY_S = 0.05, 5.0, 1.0
"""How long the first blocking command waits, later ones, and those of a wait for more results than the window.

After each the messages are looked for that have ended without a result. Seconds."""

Command = Sequence[Any]
GroupOf = Callable[[bytes], Hashable]


class ResultWait:
    """Results that are waited for, in groups that one command can read.

    A stream is always read from its start, so nothing is missed after a lost reply or a new connection.

    Args:
        group_of: the group of a key. In a cluster, keys of different slots need commands of their own.

    Attributes:
        resolved: what has ended since the caller has emptied it.
    """

    def __init__(self, awaited: Sequence[Awaited], group_of: GroupOf) -> None:
        self._group_of = group_of
        self._groups: Dict[Hashable, Dict[bytes, Awaited]] = {}
        self.resolved: List[Awaited] = []
        for one in awaited:
            if one.resolution is not None:
                self.resolved.append(one)
                continue
            for key in one.places:
                self._groups.setdefault(group_of(key), {})[key] = one

    @property
    def groups(self) -> List[Hashable]:
        """The groups in which something is waited for."""
        return [group for group, pending in self._groups.items() if pending]

    def slice_s(self) -> float:
        """For how long a later command should block, seconds."""
        return SLICE_S if all(len(pending) <= WINDOW for pending in self._groups.values()) else SLICE_OF_MANY_S

    def first_key(self, group: Hashable) -> bytes:
        """A key of a group, which leads to its server."""
        return next(iter(self._groups[group]))

    def blocking(self, group: Hashable, block_s: float) -> Command:
        """The command that waits for the first results of a group."""
        return read_command(_first(self._groups[group], WINDOW), block_ms=max(1, round(block_s * 1000)))

    def rest(self, group: Hashable) -> Iterator[Command]:
        """Commands that read the results of a group that the blocking one does not wait for."""
        keys = list(self._groups[group])[WINDOW:]
        for start in range(0, len(keys), WINDOW):
            yield read_command(keys[start : start + WINDOW])

    def take(self, reply: Any) -> None:
        """The reply to one of these commands."""
        for key, entries in reply or ():
            group = self._groups.get(self._group_of(key), {})
            awaited = group.get(key)
            if awaited is not None and entries:
                try:
                    self.resolve(awaited, read_ending(entries[0]))
                except DecodeError as error:
                    self.resolve(awaited, error)

    def resolve(self, awaited: Awaited, resolution: Resolution) -> None:
        """Note how the wait for a message has ended."""
        if awaited.resolution is None:
            awaited.resolution = resolution
            self.resolved.append(awaited)
        for key in awaited.places:
            self._groups[self._group_of(key)].pop(key, None)

    def refused(self, key: bytes, error: BizzMQError) -> None:
        """A result cannot be read, because its key has the wrong type."""
        awaited = self._groups[self._group_of(key)].get(key)
        if awaited is not None:
            self.resolve(awaited, error)

    def unresolved(self, group: Hashable) -> List[Awaited]:
        """What is still waited for in a group."""
        return list(dict.fromkeys(self._groups.get(group, {}).values()))


def read_command(keys: Sequence[bytes], block_ms: int = 0) -> Command:
    """The command that reads results; with `block_ms` it waits for the first one."""
    block = ("BLOCK", block_ms) if block_ms else ()
    return ("XREAD", "COUNT", 1, *block, "STREAMS", *keys, *["0"] * len(keys))


def keys_of(command: Command) -> List[bytes]:
    """The keys of a command of `read_command`."""
    parts = list(command)
    streams = parts[parts.index("STREAMS") + 1 :]
    return streams[: len(streams) // 2]


class Look:
    """A look for messages that have ended without a result, or keep none: which of them are still stored."""

    def __init__(self, wait: ResultWait, awaited: Sequence[Awaited]) -> None:
        self._wait = wait
        self._awaited = awaited
        self._stored: set[Awaited] = set()

    def parts(self, group_of: GroupOf) -> Iterator[List[tuple[Awaited, Command]]]:
        """Commands that ask whether each message is stored, in parts for one server each."""
        groups: Dict[Hashable, List[tuple[Awaited, Command]]] = {}
        for one in self._awaited:
            name = "HGET" if one.keeps_result is None else "HEXISTS"
            for key, messages in one.places.items():
                groups.setdefault(group_of(key), []).append((one, (name, messages, one.message_id)))
        for found in groups.values():
            for start in range(0, len(found), WINDOW):
                yield found[start : start + WINDOW]

    @staticmethod
    def again(missing: Sequence[Awaited], group_of: GroupOf) -> Iterator[Command]:
        """Commands that read the results of missing messages once more."""
        groups: Dict[Hashable, List[bytes]] = {}
        for one in missing:
            for key in one.places:
                groups.setdefault(group_of(key), []).append(key)
        for keys in groups.values():
            for start in range(0, len(keys), WINDOW):
                yield read_command(keys[start : start + WINDOW])

    def take(self, awaited: Awaited, reply: Any) -> None:
        """The reply to one of these commands."""
        if isinstance(reply, bytes):
            if awaited.is_kept(reply):
                self._stored.add(awaited)
            else:
                self._wait.resolve(awaited, not_kept(awaited.message_id))
        elif reply:
            self._stored.add(awaited)

    def missing(self) -> List[Awaited]:
        """The messages that are stored nowhere. Their results may have been stored in the meantime: read them again."""
        return [one for one in self._awaited if one not in self._stored and one.resolution is None]

    def end(self, awaited: Awaited) -> None:
        """The message is missing; unless its result has just been read, there is none."""
        if awaited.resolution is None:
            self._wait.resolve(awaited, expired(awaited.message_id))


def _first(keys: Dict[bytes, Awaited], count: int) -> List[bytes]:
    return [key for key, _ in zip(keys, range(count))]
