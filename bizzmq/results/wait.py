"""A wait for results: what is still waited for, and what replies and notices mean for it. Does no I/O."""

from __future__ import annotations

from typing import Any, Callable, Dict, Hashable, Iterator, List, Sequence

from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.protocol.results import read_ending
from bizzmq.results.awaited import Awaited, Resolution, expired, not_kept

PART = 500
"""The most keys or channels of one command."""
FIRST_S, SLICE_S, POLL_S = 0.05, 5.0, 0.5
"""When a wait first looks for messages that have ended without a result, how often it does so later, and how often a
user without the right to subscribe reads the results. Seconds."""

Command = Sequence[Any]
GroupOf = Callable[[bytes], Hashable]
SUBSCRIBED = b"subscribe"


class ResultWait:
    """Results that are waited for, in groups that one command can read.

    The script that ends a message sends the result to the channel that has the name of the key. That is a notice, which
    can be lost; what counts is the key. So keys are read after subscribing, and again from time to time.

    Args:
        group_of: the group of a key. In a cluster, keys of different slots need commands of their own.

    Attributes:
        resolved: what has ended since the caller has emptied it.
        unread: keys that must be read, because a notice came without a result, or with something else.
    """

    def __init__(self, awaited: Sequence[Awaited], group_of: GroupOf) -> None:
        self._group_of = group_of
        self._groups: Dict[Hashable, Dict[bytes, Awaited]] = {}
        self.resolved: List[Awaited] = []
        self.unread: List[bytes] = []
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

    def parts(self, group: Hashable) -> List[List[bytes]]:
        """The keys of a group that are waited for, in parts for one command each. They are the channels, too."""
        keys = list(self._groups.get(group, ()))
        return [keys[start : start + PART] for start in range(0, len(keys), PART)]

    def take(self, keys: Sequence[bytes], texts: Sequence[Any]) -> None:
        """What is stored under some keys; None for nothing."""
        for key, text in zip(keys, texts):
            awaited = self._awaited(key)
            if awaited is not None and text is not None:
                try:
                    self.resolve(awaited, read_ending(text))
                except DecodeError as error:
                    self.resolve(awaited, error)

    def note(self, frame: Sequence[Any]) -> bool:
        """Take a frame of a subscription. Returns whether it confirms that one channel is subscribed to."""
        kind, channel, payload = frame[0], frame[1], frame[-1]
        if kind == b"message":
            awaited = self._awaited(channel)
            if awaited is not None:
                try:
                    self.resolve(awaited, read_ending(payload))
                except DecodeError:
                    self.unread.append(channel)
        return bool(kind == SUBSCRIBED)

    def resolve(self, awaited: Awaited, resolution: Resolution) -> None:
        """Note how the wait for a message has ended."""
        if awaited.resolution is None:
            awaited.resolution = resolution
            self.resolved.append(awaited)
        for key in awaited.places:
            self._groups[self._group_of(key)].pop(key, None)

    def refused(self, key: bytes, error: BizzMQError) -> None:
        """A result cannot be read, because its key has the wrong type."""
        awaited = self._awaited(key)
        if awaited is not None:
            self.resolve(awaited, error)

    def unresolved(self, group: Hashable) -> List[Awaited]:
        """What is still waited for in a group."""
        return list(dict.fromkeys(self._groups.get(group, {}).values()))

    def _awaited(self, key: bytes) -> Awaited | None:
        return self._groups.get(self._group_of(key), {}).get(key)


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
            for start in range(0, len(found), PART):
                yield found[start : start + PART]

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
