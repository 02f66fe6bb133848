"""The doctor: runs all checks on a server. It only reads."""

from __future__ import annotations

from typing import Callable, Iterator

from bizzmq.broker.broker import Broker
from bizzmq.connection import group_url
from bizzmq.connection.base import Connection
from bizzmq.doctor import server_checks, storage_checks
from bizzmq.doctor.command_checks import commands
from bizzmq.doctor.findings import Finding, Level, ServerFacts, fail, ok, warn
from bizzmq.doctor.permission_checks import permissions
from bizzmq.doctor.queue_checks import queues
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerReplyError, BrokerUnavailableError
from bizzmq.protocol.keys import PROBE
from bizzmq.utils.redaction import redact

Check = Callable[[ServerFacts], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    server_checks.version,
    server_checks.cluster,
    storage_checks.persistence,
    storage_checks.eviction,
    storage_checks.memory,
    storage_checks.replication,
    server_checks.connections,
    server_checks.latency,
    server_checks.clocks,
    server_checks.script_cache,
    commands,
    permissions,
)
_RULES = {"CONFIG": "config|get", "CLUSTER": "cluster|info"}
_REPORTED_BY = {
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
    "loading": "wait: it is loading its data from disk",
    "max number of clients": "raise maxclients (and the server's ulimit -n), or close connections",
    "busy running a script": "wait, or SCRIPT KILL",
}


def examine(broker: Broker, queue: str = "") -> list[Finding]:
    """All findings about the broker's server, in a fixed order. An error of the server is a finding, too.

    Args:
        queue: the queue to which this user is limited; "" for all queues.

    Raises:
        ConfigurationError: the name of the queue is invalid.
    """
    base = broker.keys(queue).base if queue else PROBE
    found: list[Finding] = []
    facts: ServerFacts | None = None
    try:
        url = broker.connection.url
        connection = broker.connection.at(base)
        found.append(_reach(connection))
        if found[0].level is Level.FAIL:
            return found
        facts = ServerFacts(connection, group_url.parse(url).kind if group_url.is_group(url) else "", base)
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
            return _unreachable(error)  # the server refuses all other commands, too
    except BrokerUnavailableError as error:
        return _unreachable(error)
    return ok("reachable", f"{redact(connection.url)} answers")


def _unreachable(error: Exception) -> Finding:
    advice = _advice(str(error)) or "is it running, is the URL right, does a firewall block it?"
    return fail("reachable", f"the server cannot be used: {error}", advice)


def _advice(text: str) -> str:
    """The advice about a server that refuses all commands; "" for other errors."""
    for sign, advice in _REFUSES_ALL.items():
        if sign in text.lower():
            return advice
    return ""


def _refusal(command: str, why: str) -> Finding:
    rule = _RULES.get(command, command.lower())
    return warn("refused", f"{command} is refused, so {_REPORTED_BY[command]} could not be checked ({why})",
                f"to permit it: ACL SETUSER NAME +{rule}, or check it yourself")  # fmt: skip
