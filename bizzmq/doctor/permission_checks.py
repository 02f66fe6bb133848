"""Checks of permissions: which commands on which keys this user lacks for each role."""

from __future__ import annotations

from typing import Iterator

from bizzmq.doctor.acl_probe import Ask, is_about_names, probe_of, sample
from bizzmq.doctor.acl_rules import CHANNEL_COMMANDS, rules
from bizzmq.doctor.findings import Finding, ServerFacts, fail, ok, warn
from bizzmq.doctor.roles import GROUPS, ROLES, Use

_MOST_RULES = 6
"""If more rules are missing, the user was not meant for that role."""


def permissions(facts: ServerFacts) -> Iterator[Finding]:
    """Which roles this user has the permissions for."""
    if facts.version()[:1] == (5,):
        yield ok("permissions", "Redis 5 has no users: every client may execute all commands")
        return
    ask = probe_of(facts.connection)
    if ask is None:
        yield warn("permissions", "this user may execute neither ACL DRYRUN nor MULTI: permissions cannot be checked",
                   "to permit the check: +multi +discard")  # fmt: skip
        return
    lacks = {role: _missing(ask, role, facts) for role in ROLES}
    for role, wanted in lacks.items():
        who = f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
        do = f"ACL SETUSER NAME {' '.join(wanted)}"
        if len(wanted) > _MOST_RULES:
            do = f"use the line for {who} in docs/operations/security.md"
        if not wanted:
            yield ok("permissions", f"may do all that {who} does")
        elif all(lacks.values()):
            yield fail("permissions", f"may not do all that {who} does", do)
        else:
            yield warn("permissions", f"may not do all that {who} does", f"only if it needs to: {do}")


def _missing(ask: Ask, role: str, facts: ServerFacts) -> list[str]:
    """The rules that would permit this role. Commands that the server does not have are not checked."""
    lacking: list[Use] = []
    is_any_key_open = False
    is_only_names = True
    uses = [*ROLES[role], *([GROUPS[facts.url_kind]] if facts.url_kind in GROUPS else [])]
    for use in uses:
        denied = {}
        for name, kind in use.pairs():
            if name not in facts.missing:
                denied[name, kind] = ask(sample(name, kind, facts.base))
        whys = {pair: why for pair, why in denied.items() if why}
        has_keys = bool(use.kinds) and not CHANNEL_COMMANDS.issuperset(use.commands)
        is_any_key_open = is_any_key_open or (has_keys and len(whys) < len(denied))
        is_only_names = is_only_names and all(map(is_about_names, whys.values()))
        if whys:
            kinds = tuple(kind for kind in use.kinds if any(kind == about for _, about in whys))
            lacking.append(Use(kinds, tuple(name for name in use.commands if any(name == about for about, _ in whys))))
    if lacking and is_only_names and not is_any_key_open:
        return _names(lacking)
    return rules(lacking) if _has_selectors(facts) else _plain(lacking, is_only_names)


def _has_selectors(facts: ServerFacts) -> bool:
    return not facts.version() or facts.version() >= (7, 0)


def _plain(lacking: list[Use], is_only_names: bool) -> list[str]:
    """The rules for Redis 6, which has no selectors."""
    commands = [] if is_only_names else sorted({f"+{name}" for use in lacking for name in use.commands})
    return [*commands, *_names(lacking)]


def _names(lacking: list[Use]) -> list[str]:
    """The patterns of the keys and channels of BizzMQ that are used."""
    with_names = [use for use in lacking if use.kinds]
    has_keys = any(not CHANNEL_COMMANDS.issuperset(use.commands) for use in with_names)
    has_channels = any(CHANNEL_COMMANDS.issuperset(use.commands) for use in with_names)
    return [*(["~bizzmq:*"] if has_keys else []), *(["&bizzmq:*"] if has_channels else [])]
