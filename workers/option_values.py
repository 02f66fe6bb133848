"""The checks of values that only some options of the pool have: names of queues, keys, and the token of the probes."""

from __future__ import annotations

from typing import Any, Tuple

from bizzmq.errors import ConfigurationError
from bizzmq.protocol.encryption import EncryptionKeys, checked_keys
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.secret_keys import Key
from bizzmq.protocol.signing import Signer
from bizzmq.validation import checks
from bizzmq.workers.ipc.pool_header import MAX_QUEUES

HEALTH_TOKEN = "BIZZMQ_WORKER_HEALTH_TOKEN"  # noqa: S105 - the name of the variable
DEFAULT_QUEUES: Tuple[str, ...] = ("default",)
"""The queues if none are chosen. It is compared by identity: an app brings queues of its own."""


def queue_names(name: str, value: Any) -> Tuple[str, ...]:
    """Check the names of a pool's queues. Raises ConfigurationError, as the functions below do."""
    given = checks.items(value, f"{name} must be a list of at least one queue name")
    queues: Tuple[str, ...] = tuple(checks.text(f"each of {name}", queue, "the name of a queue") for queue in given)
    if len(set(queues)) != len(queues):
        raise ConfigurationError("a queue is named twice")
    for queue in queues:
        QueueKeys(queue)
    if len(queues) > MAX_QUEUES:
        raise ConfigurationError(f"one pool can serve at most {MAX_QUEUES} queues")
    return DEFAULT_QUEUES if value is DEFAULT_QUEUES else queues


def signing_keys(name: str, value: Any) -> Tuple[Key, ...]:
    """Check keys that sign messages; none are an empty tuple."""
    if value is None or value == ():
        return ()
    keys = checks.items(value, f"{name} must be a list of at least one key")
    Signer(keys)
    return keys


def encryption_keys(name: str, value: Any) -> EncryptionKeys:  # noqa: ARG001 - the errors name it
    """Check keys that encrypt bodies; none are an empty tuple."""
    return () if value is None or value == () else checked_keys(value)


def token(name: str, value: Any) -> str:
    """Check the token that clients of the health port send."""
    checked = checks.secret(name, value)
    if not checked.isprintable() or checked != checked.strip():
        raise ConfigurationError(
            f"{HEALTH_TOKEN} has a line end, a control character or white space around it: no client can send that"
        )
    return checked
