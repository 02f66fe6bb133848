"""Changes the options of a queue."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Mapping, Union

from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation, Script, command
from bizzmq.broker.queues import check_no_shard, read_shards, update_call, update_result
from bizzmq.errors import ConfigurationError, DecodeError, QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.queue import QueueOptions
from bizzmq.validation import checks

Changes = Union[QueueOptions, Mapping[str, Any]]
"""All options of a queue, or some: name -> value."""

_NAMES = tuple(field.name for field in fields(QueueOptions))
_STORED = {"config_dead_letter_queue": "dead_letter"}
_SHOWN = 80


@dataclass(frozen=True)
class QueueUpdate:
    """What an update of a queue's options has changed.

    Attributes:
        queue: the name of the queue.
        changed: option -> (value before, value now). Empty if all options had these values already. An unreadable value
            before is the stored text.
    """

    queue: str
    changed: Mapping[str, tuple[Any, Any]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: `changed` is option -> {"before": ..., "now": ...}."""
        changed = {name: {"before": before, "now": now} for name, (before, now) in self.changed.items()}
        return {"queue": self.queue, "changed": changed}


def update(broker: Broker, queue: str, options: Changes) -> QueueUpdate:
    """Change the options of a queue. See `QueueClient.update_queue`."""
    return broker.perform(update_queue(broker.keys(queue), checked_changes(options)))


def checked_changes(options: Changes) -> dict[str, Any]:
    """The options to change and their values. Raises ConfigurationError."""
    if isinstance(options, QueueOptions):
        return {name: getattr(options, name) for name in _NAMES}
    if not isinstance(options, Mapping):
        checks.refuse("options", "QueueOptions(...), or a mapping of the options to change", options)
    unknown = [name for name in options if name not in _NAMES]
    if unknown:
        raise ConfigurationError(f"there is no option {checks.shown(unknown[0])}: use {', '.join(_NAMES)}")
    checked = QueueOptions(**options)
    return {name: getattr(checked, name) for name in _NAMES if name in options}


def update_queue(k: QueueKeys, changes: Mapping[str, Any]) -> Operation[QueueUpdate]:
    """The operation of `update`. The queue itself is changed after its shards, so a repetition completes it."""
    check_no_shard(k.queue, "update {}, which updates all shards")
    exists = yield command("EXISTS", k.meta)
    if not exists:
        raise QueueNotFoundError(k.queue)
    shards = yield from read_shards(k)
    if changes.get("shards", len(shards)) != len(shards):
        raise ConfigurationError(
            f"shards must be {len(shards)}, the number that {k.queue!r} was created with, not {changes['shards']}: "
            "workers know this number, so create another queue and move to it"
        )
    names = [name for name in _NAMES if name in changes and name != "shards"]
    stored = QueueOptions(**{name: changes[name] for name in names}).to_meta()
    values = {_STORED.get(name, name): stored[_STORED.get(name, name)] for name in names}
    dead_letters = bool(changes.get("config_dead_letter_queue")) and not k.is_dead_letter_queue
    changed: dict[str, tuple[Any, Any]] = {}
    for shard in reversed(shards):
        reply = yield Script("update", update_call(shard, values, dead_letters=dead_letters))
        changed.update(_changed(names, update_result(reply, shard.queue), values))
    return QueueUpdate(k.queue, {name: changed[name] for name in names if name in changed})


def _changed(names: list[str], before: list[str | None], now: Mapping[str, str]) -> dict[str, tuple[Any, Any]]:
    """Option -> (value before, value now) of the options whose values differ."""
    found = {}
    for name, text in zip(names, before):
        field = _STORED.get(name, name)
        pair = _value(name, field, text), _value(name, field, now[field])
        if pair[0] != pair[1]:
            found[name] = pair
    return found


def _value(name: str, field: str, text: str | None) -> Any:
    """The value of a stored option; its text if it is unreadable."""
    try:
        return getattr(QueueOptions.from_meta({} if text is None else {field: text}), name)
    except DecodeError:
        return (text or "")[:_SHOWN]
