"""Checks for commands that the server does not have, because they are renamed or blocked by a proxy."""

from __future__ import annotations

from typing import Iterator

from bizzmq.doctor.findings import Finding, ServerFacts, fail, ok, warn
from bizzmq.doctor.roles import GROUPS, OPTIONAL, ROLES, needed
from bizzmq.doctor.server_info import REFUSED, missing_commands
from bizzmq.errors import BrokerUnavailableError

_VITAL = frozenset(("publisher", "creator", "worker"))
_ADVICE = "do not rename it, or connect to the server without the proxy"


def commands(facts: ServerFacts) -> Iterator[Finding]:
    """Whether the server has all commands of all roles, and what does not work without a missing one."""
    group = GROUPS.get(facts.url_kind)
    names = sorted({name for role in ROLES for name in needed(role)}.union(group.commands if group else ()))
    try:
        facts.missing.update(missing_commands(facts.connection, names))
        facts.connection.execute("PING")
    except REFUSED:
        pass  # PING is reported as missing
    except BrokerUnavailableError:
        return  # a proxy that closes connections: missing commands show when they are used
    for name in sorted(facts.missing):
        yield _about(name)
    if not facts.missing:
        yield ok("commands", "the server has all commands that are used")


def _about(name: str) -> Finding:
    called = name.upper().replace("|", " ")
    if name in OPTIONAL:
        return warn("commands", f"the server has no {called}: {OPTIONAL[name]}", _ADVICE)
    roles = [role for role in ROLES if name in needed(role)]
    what = f"the server has no {called}: {', '.join(roles) or 'clients'} cannot do their work"
    return (warn if roles and not _VITAL.intersection(roles) else fail)("commands", what, _ADVICE)
