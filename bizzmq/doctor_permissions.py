"""What the doctor says about permissions: which commands on which keys this user lacks, by what it is meant for."""

from __future__ import annotations

from typing import Iterator

from bizzmq.doctor_asking import Ask, asker, is_about_keys, sample
from bizzmq.doctor_finding import Facts, Finding, fail, ok, warn
from bizzmq.roles import GROUPS, ROLES, Use, rules

_MOST_RULES = 6
"""More than this is no oversight: then the user was not made for that role."""


def permissions(facts: Facts) -> Iterator[Finding]:
    """Which roles this user can have."""
    if facts.version()[:1] == (5,):
        yield ok("permissions", "Redis 5 has no users of its own: whoever connects may do everything")
        return
    ask = asker(facts.connection)
    if ask is None:
        yield warn("permissions", "this user may neither ACL DRYRUN nor MULTI, so what it may do cannot be asked",
                   "for the doctor: +multi +discard")  # fmt: skip
        return
    lacks = {role: _missing(ask, role, facts) for role in ROLES}
    for role, wanted in lacks.items():
        who = f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
        do = f"ACL SETUSER NAME {' '.join(wanted)}"
        if len(wanted) > _MOST_RULES:
            do = f"give it the line of {who} in docs/security.md"
        if not wanted:
            yield ok("permissions", f"may do all that {who} does")
        elif all(lacks.values()):
            yield fail("permissions", f"may not do all that {who} does", do)
        else:
            yield warn("permissions", f"may not do all that {who} does", f"nothing, unless it is meant to; then: {do}")


def _missing(ask: Ask, role: str, facts: Facts) -> list[str]:
    """The rules that would permit what this role does. What the server does not have is not asked for."""
    lacking: list[Use] = []
    is_any_key_open = False
    is_only_keys = True
    uses = [*ROLES[role], *([GROUPS[facts.address]] if facts.address in GROUPS else [])]
    for use in uses:
        denied = {}
        for name, kind in use.pairs():
            if name not in facts.missing:
                denied[name, kind] = ask(sample(name, kind, facts.base))
        whys = {pair: why for pair, why in denied.items() if why}
        is_any_key_open = is_any_key_open or (bool(use.kinds) and len(whys) < len(denied))
        is_only_keys = is_only_keys and all(map(is_about_keys, whys.values()))
        if whys:
            kinds = tuple(kind for kind in use.kinds if any(kind == about for _, about in whys))
            lacking.append(Use(kinds, tuple(name for name in use.commands if any(name == about for about, _ in whys))))
    if lacking and is_only_keys and not is_any_key_open:
        return ["~bizzmq:*"]
    return rules(lacking) if _has_selectors(facts) else _plain(lacking, is_only_keys)


def _has_selectors(facts: Facts) -> bool:
    return not facts.version() or facts.version() >= (7, 0)


def _plain(lacking: list[Use], is_only_keys: bool) -> list[str]:
    """The same for Redis 6, which has no selectors."""
    commands = [] if is_only_keys else sorted({f"+{name}" for use in lacking for name in use.commands})
    return [*commands, "~bizzmq:*"] if any(use.kinds for use in lacking) else commands
