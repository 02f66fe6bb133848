"""What the doctor says about commands that the server does not have: renamed, or kept back by a proxy."""

from __future__ import annotations

from typing import Iterator

from bizzmq.doctor_finding import Facts, Finding, fail, ok, warn
from bizzmq.errors import BrokerUnavailableError
from bizzmq.roles import GROUPS, OPTIONAL, ROLES, needed
from bizzmq.server_info import REFUSED, missing_commands

_VITAL = frozenset(("publisher", "creator", "worker"))
_MEND = "do not rename it, or connect to the server without the proxy"


def commands(facts: Facts) -> Iterator[Finding]:
    """Whether all commands are there that any role sends, and what is lost without the others."""
    group = GROUPS.get(facts.address)
    names = sorted({name for role in ROLES for name in needed(role)}.union(group.commands if group else ()))
    try:
        facts.missing.update(missing_commands(facts.connection, names))
        facts.connection.execute("PING")
    except REFUSED:
        pass  # PING is said to be missing
    except BrokerUnavailableError:
        return  # a proxy that closes connections: what it lacks shows when it is used
    for name in sorted(facts.missing):
        yield _about(name)
    if not facts.missing:
        yield ok("commands", "the server has all commands that are used")


def _about(name: str) -> Finding:
    called = name.upper().replace("|", " ")
    if name in OPTIONAL:
        return warn("commands", f"the server has no {called}: {OPTIONAL[name]}", _MEND)
    roles = [role for role in ROLES if name in needed(role)]
    what = f"the server has no {called}: {', '.join(roles) or 'clients'} cannot do their work"
    return (warn if roles and not _VITAL.intersection(roles) else fail)("commands", what, _MEND)
