"""What the doctor says about permissions: which commands and keys this user lacks, by what it is meant for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Iterable, Iterator, Sequence

from bizzmq import keys, scripts
from bizzmq.doctor_asking import Ask, asker, is_about_keys, samples
from bizzmq.doctor_finding import Facts, Finding, fail, ok, warn

SCRIPTS = {
    "publisher": ("create", "publish"),
    "worker": ("beat", "claim", "create", "dead_letter", "discard", "evict", "register", "release", "requeue", "retry"),
    "operator": tuple(scripts.names()),
}
_ASKED = {
    "publisher": "eval evalsha ping sadd time",
    "worker": "bzpopmin eval evalsha exec exists hget hgetall hlen llen multi sadd zcard",
    "operator": "eval evalsha exec exists hexists hget hgetall hkeys hlen hmget llen lrange multi ping sadd scan "
    "smembers time type zcard zrange zscan",
}
_NEVER_RUN = {"publisher": {"rpush", "zrangebyscore"}}
"""Of a function that a role's scripts share with others: nobody publishes at the head."""
_KINDS = {
    "publisher": "meta messages attempts waiting prioritized delayed wake stats publisher:NONCE",
    "worker": "meta messages attempts waiting prioritized delayed parked processing:WORKER supervisors workers "
    "releases wake stats",
}
_KINDS["operator"] = f"{_KINDS['worker']} publisher:NONCE"
_ASKED_OF_GROUPS = {"cluster": "cluster|slots client|id client|unblock", "sentinel": "role"}
_NAMES = {"publisher": "a publisher", "worker": "a worker", "operator": "an operator"}


@lru_cache(maxsize=None)
def needed(role: str, address: str = "") -> tuple[str, ...]:
    """The commands that a role uses, those inside of its scripts included, sorted."""
    asked = set(_ASKED[role].split()) | set(_ASKED_OF_GROUPS.get(address, "").split())
    run = set().union(*[_commands_of(name) for name in SCRIPTS[role]]) - _NEVER_RUN.get(role, set())
    return tuple(sorted(asked | run))


def kinds(role: str) -> list[str]:
    """The kinds of keys that a role uses, as their names end."""
    return _KINDS[role].split()


@lru_cache(maxsize=None)
def _commands_of(script: str) -> frozenset[str]:
    """The commands that a script may run: not those of shared functions that it does not call."""
    code = re.sub(r"--.*", "", scripts.load(script).source)
    functions = dict(re.findall(r"^local function (\w+)(.*?)^end", code, flags=re.MULTILINE | re.DOTALL))
    text = re.sub(r"^local function \w+.*?^end", "", code, flags=re.MULTILINE | re.DOTALL)
    called: set[str] = set()
    while True:
        fresh = {name for name in functions if re.search(rf"\b{name}\b", text)} - called
        if not fresh:
            return frozenset(name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", text))
        called |= fresh
        text += "".join(functions[name] for name in fresh)


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
    lacks = {role: _missing(ask, role, facts.address) for role in SCRIPTS}
    for role, rules in lacks.items():
        do = f"ACL SETUSER NAME {' '.join(rules)}"
        if not rules:
            yield ok("permissions", f"may do all that {_NAMES[role]} does")
        elif all(lacks.values()):
            yield fail("permissions", f"may not do all that {_NAMES[role]} does", do)
        else:
            yield warn("permissions", f"may not do all that {_NAMES[role]} does",
                       f"nothing, unless it is meant to; then: {do}")  # fmt: skip


def _missing(ask: Ask, role: str, address: str) -> list[str]:
    """The rules that would permit what this role does.

    A command is missed if it may be run on none of the role's keys, a key if none of the role's commands may be run
    on it. Which command needs which key is not asked: docs/security.md has lines that tell them apart.
    """
    names, all_kinds = needed(role, address), kinds(role)
    closed = [kind for kind in all_kinds if _is_closed(ask, kind, names)]
    rules = ["~bizzmq:*"] if len(closed) == len(all_kinds) else [_pattern(kind) for kind in closed]
    for name in names:
        calls = samples(name, all_kinds)
        whys = _denials(ask, calls.values())
        if not whys:
            continue
        if not all(map(is_about_keys, whys)):
            rules.append(f"+{name}")
        elif len(closed) < len(all_kinds) and not set(calls) <= set(closed):
            rules += [f"+{name}", *[_pattern(kind) for kind in calls]]
    return list(dict.fromkeys(rules))


def _is_closed(ask: Ask, kind: str, names: Sequence[str]) -> bool:
    calls = [samples(name, [kind]).get(kind) for name in names]
    return any(map(is_about_keys, _denials(ask, [words for words in calls if words])))


def _denials(ask: Ask, calls: Iterable[Sequence[Any]]) -> list[str]:
    """Why none of these is permitted; nothing if one is."""
    whys = []
    for words in calls:
        why = ask(words)
        if not why:
            return []
        whys.append(why)
    return whys


def _pattern(kind: str) -> str:
    return f"~bizzmq:*:{kind.partition(':')[0]}{':*' if ':' in kind else ''}" if kind else f"~{keys.INDEX}"
