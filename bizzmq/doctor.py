"""The doctor: whether a server is fit to keep messages. It asks, and changes nothing."""

from __future__ import annotations

from typing import Callable, Iterator

from bizzmq import address, doctor_checks, doctor_storage
from bizzmq.broker import Broker
from bizzmq.connection import Connection
from bizzmq.doctor_commands import commands
from bizzmq.doctor_finding import Facts, Finding, Level, fail, ok, warn
from bizzmq.doctor_permissions import permissions
from bizzmq.doctor_queues import queues
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerReplyError, BrokerUnavailableError
from bizzmq.keys import PROBE
from bizzmq.redaction import redact

Check = Callable[[Facts], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    doctor_checks.version,
    doctor_checks.cluster,
    doctor_storage.persistence,
    doctor_storage.eviction,
    doctor_storage.memory,
    doctor_storage.replication,
    doctor_checks.connections,
    doctor_checks.latency,
    doctor_checks.clocks,
    doctor_checks.script_cache,
    commands,
    permissions,
)
_RULES = {"CONFIG": "config|get", "CLUSTER": "cluster|info"}
_TOLD_BY = {
    "INFO": "version, persistence, memory, replication and connections",
    "CONFIG": "snapshots, appendfsync and min-replicas-to-write",
    "PING": "latency",
    "TIME": "the clock",
    "CLUSTER": "the cluster's state",
}


_CREDENTIALS = "put the right user and password into the URL"
_REFUSES_ALL = {
    "noauth": _CREDENTIALS,
    "authentication": _CREDENTIALS,
    "wrongpass": _CREDENTIALS,
    "invalid username": _CREDENTIALS,
    "invalid password": _CREDENTIALS,
    "loading": "wait: it is reading its data back from disk",
    "max number of clients": "raise maxclients (and the server's ulimit -n), or close connections",
    "busy running a script": "wait, or SCRIPT KILL",
}


def examine(broker: Broker, queue: str = "") -> list[Finding]:
    """All findings about the server that this broker leads to, in a fixed order. Never raises for the server.

    Args:
        queue: the one that this user is for, if it may not use all of them.

    Raises:
        ConfigurationError: that is no name of a queue.
    """
    base = broker.keys(queue).base if queue else PROBE
    found: list[Finding] = []
    facts: Facts | None = None
    try:
        url = broker.connection.url
        connection = broker.connection.at(base)
        found.append(_reach(connection))
        if found[0].level is Level.FAIL:
            return found
        facts = Facts(connection, address.parse(url).kind if address.is_group(url) else "", base)
        for check in CHECKS:
            found += check(facts)
        found += queues(broker, queue)
    except BizzMQError as error:
        found.append(_unreachable(error))
    return [*found, *(_refusal(name, why) for name, why in (facts.refused.items() if facts else ()))]


def _reach(connection: Connection) -> Finding:
    try:
        connection.execute("PING")
    except (BrokerRefusesError, BrokerReplyError) as error:
        if _advice(str(error)):
            return _unreachable(error)  # nothing else is answered either
    except BrokerUnavailableError as error:
        return _unreachable(error)
    return ok("reachable", f"{redact(connection.url)} answers")


def _unreachable(error: Exception) -> Finding:
    advice = _advice(str(error)) or "is it running, is the address right, does a firewall let through?"
    return fail("reachable", f"the server cannot be used: {error}", advice)


def _advice(text: str) -> str:
    """What to do about a server that refuses everything; "" for other errors."""
    for sign, advice in _REFUSES_ALL.items():
        if sign in text.lower():
            return advice
    return ""


def _refusal(command: str, why: str) -> Finding:
    rule = _RULES.get(command, command.lower())
    return warn("refused", f"{command} is refused, so {_TOLD_BY[command]} could not be checked ({why})",
                f"for the doctor: ACL SETUSER NAME +{rule}, or look there yourself")  # fmt: skip
