"""Asking Redis: scripts by name, key names, and a few plain commands. The base of registry and broker."""

from __future__ import annotations

import re
from typing import Any, Sequence

from bizzmq import scripts
from bizzmq.connections import AnyConnection
from bizzmq.errors import BrokerFullError, LeaseLostError
from bizzmq.foreign import CommandRefusedError, NoScriptError, SlotMovingError
from bizzmq.keys import QueueKeys


class Store:
    """Scripts and looks over one connection."""

    def __init__(self, connection: AnyConnection) -> None:
        self.connection = connection
        self._keys: dict[str, QueueKeys] = {}
        self._has_transactions = True

    def keys(self, queue: str) -> QueueKeys:
        """The queue's key names. Raises ConfigurationError for a bad name."""
        found = self._keys.get(queue)
        if found is None:
            found = self._keys[queue] = QueueKeys(queue)
        return found

    def run(self, name: str, key_names: Sequence[Any], *args: Any) -> Any:
        """Run a script by its digest, or by its text if Redis has forgotten it."""
        try:
            return self.connection.execute(*self.called(name, key_names), *args)
        except NoScriptError:
            script = scripts.load(name)
            return self.connection.execute("EVAL", script.source, len(key_names), *key_names, *args)

    def called(self, name: str, key_names: Sequence[Any]) -> tuple[Any, ...]:
        """The command that runs a script on these keys, its arguments apart."""
        return ("EVALSHA", scripts.load(name).digest, f"{len(key_names)}", *key_names)

    def ping(self) -> None:
        """See that the server answers; that it refuses just this command is an answer, too."""
        try:
            self.connection.execute("PING")
        except CommandRefusedError:
            return

    def time(self) -> tuple[int, int]:
        """Redis's clock: seconds since the epoch and microseconds."""
        seconds, micros = self.connection.execute("TIME")
        return int(seconds), int(micros)

    def look(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to commands that only read: in one step, or one after the other where that is refused.

        Redis 7 refuses every transaction at its memory limit, and a cluster while it moves the keys elsewhere. A server
        without MULTI or EXEC is asked for them once.
        """
        if self._has_transactions:
            try:
                return self.connection.transaction(*commands)
            except CommandRefusedError as error:
                self._has_transactions = not _is_about_transactions(error)
            except (BrokerFullError, SlotMovingError):
                pass  # it may be otherwise the next time
        return [self.connection.execute(*command) for command in commands]


def _is_about_transactions(error: CommandRefusedError) -> bool:
    return re.search(r"\b(multi|exec)\b", str(error), re.IGNORECASE) is not None


def owned(reply: Any, queue: str, worker: str) -> int:
    """A script's reply; every refusal to a worker without a lease becomes one exception, here."""
    if reply == -1:
        raise LeaseLostError(queue, worker)
    return int(reply)


def grave(k: QueueKeys) -> list[str]:
    """The keys that a message is buried with: in the dead-letter queue, or parked where it is."""
    dead = k.dead_letters()
    place = k.parked if k.is_dead_letter_queue else dead.waiting
    return [place, dead.messages, dead.meta, dead.wake]


def pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of a hash, as HGETALL replies."""
    return list(zip(flat[::2], flat[1::2]))
