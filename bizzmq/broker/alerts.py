"""Notes about alerts: which ones are sent, and which watcher is sending one."""

from __future__ import annotations

from typing import Any

from bizzmq.broker.operations import Call
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.errors import QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys


class Alerts:
    """Transitions of alerts."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run

    def change_alert(self, queue: str, kind: str, before: bytes, after: bytes) -> bool:
        """Replace the note about an alert, b"" for none. False if the note was not `before`.

        Raises QueueNotFoundError.
        """
        call = change_alert_call(self._keys(queue), kind, before, after)
        return change_alert_result(self._run("change_alert", call), queue)


def change_alert_call(k: QueueKeys, kind: str, before: bytes, after: bytes) -> Call:
    return [k.meta, k.alerts], [kind, before, after]


def change_alert_result(reply: Any, queue: str) -> bool:
    """False if another watcher has changed the note. Raises QueueNotFoundError."""
    if reply == -1:
        raise QueueNotFoundError(queue)
    return int(reply) == 1
