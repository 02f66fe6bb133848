"""Runs scripts and plain commands over one connection."""

from __future__ import annotations

import re
from typing import Any, Sequence

from bizzmq.broker import scripts
from bizzmq.broker.operations import Call, Command, Operation, Request, Script, T
from bizzmq.connection.error_mapping import CommandRefusedError, NoScriptError, SlotMovingError
from bizzmq.connection.factory import AnyConnection
from bizzmq.errors import BizzMQError, BrokerFullError
from bizzmq.protocol.keys import QueueKeys


class ScriptRunner:
    """Runs scripts by name. The groups of transitions share one."""

    def __init__(self, connection: AnyConnection) -> None:
        self.connection = connection
        self._keys: dict[str, QueueKeys] = {}
        self._has_transactions = True

    def keys(self, queue: str) -> QueueKeys:
        """Key names of a queue. Raises ConfigurationError for an invalid queue name."""
        found = self._keys.get(queue)
        if found is None:
            found = self._keys[queue] = QueueKeys(queue)
        return found

    def run(self, name: str, call: Call) -> Any:
        """Run a script by its digest, or by its text if Redis does not have it cached."""
        key_names, args = call
        script = scripts.load(name)
        try:
            return self.connection.execute("EVALSHA", script.digest, f"{len(key_names)}", *key_names, *args)
        except NoScriptError:
            return self.connection.execute("EVAL", script.source, f"{len(key_names)}", *key_names, *args)

    def perform(self, operation: Operation[T]) -> T:
        """The result of an operation: send its requests, one after the other."""
        try:
            request = next(operation)
            while True:
                try:
                    reply = self._reply(request)
                except BizzMQError as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result

    def _reply(self, request: Request) -> Any:
        if isinstance(request, Script):
            return self.run(request.name, request.call)
        if isinstance(request, Command):
            return self.connection.execute(*request.parts)
        return self.read_together(*request.commands)

    def command(self, name: str, key_names: Sequence[Any]) -> tuple[Any, ...]:
        """The command of `run` up to the keys, for callers that send it by themselves. The arguments follow."""
        return script_command(name, key_names)

    def ping(self) -> None:
        """Check that the server answers. A refusal of this command is an answer too."""
        try:
            self.connection.execute("PING")
        except CommandRefusedError:
            return

    def time(self) -> tuple[int, int]:
        """The clock of Redis: seconds since the epoch, and microseconds."""
        seconds, micros = self.connection.execute("TIME")
        return int(seconds), int(micros)

    def read_together(self, *commands: Sequence[Any]) -> list[Any]:
        """Replies to read-only commands, run in one transaction where that is allowed, else one after the other.

        Redis 7 refuses every transaction at its memory limit, and a cluster refuses it while the keys move to another
        node. A server without MULTI or EXEC receives only one transaction.
        """
        if self._has_transactions:
            try:
                return self.connection.transaction(*commands)
            except CommandRefusedError as error:
                self._has_transactions = not is_about_transactions(error)
            except (BrokerFullError, SlotMovingError):
                pass  # the next transaction may be allowed
        return [self.connection.execute(*command) for command in commands]


def script_command(name: str, key_names: Sequence[Any]) -> tuple[Any, ...]:
    """The command that runs a cached script, up to its keys. The arguments follow."""
    return ("EVALSHA", scripts.load(name).digest, f"{len(key_names)}", *key_names)


def is_about_transactions(error: CommandRefusedError) -> bool:
    """Whether the server, or the user's permissions, lack MULTI or EXEC."""
    return re.search(r"\b(multi|exec)\b", str(error), re.IGNORECASE) is not None
