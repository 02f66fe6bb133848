"""The users described in docs/operations/security.md, created on a server: the tests use the documented rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, Sequence

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from bizzmq.broker import scripts
from bizzmq.doctor import roles
from bizzmq.testing.layout import command
from bizzmq.testing.server import RedisServer

ROLES = tuple(roles.ROLES)
PASSWORD = "role-password"
WORKER_SCRIPTS = (
    "heartbeat", "claim", "create", "dead_letter", "discard", "expire_dead_letters", "finish", "unregister",
    "release_prefetched", "register", "release", "report", "requeue", "resume", "retry", "take_requests",
    "add_metrics", "roll_up_metrics",
)  # fmt: skip
SCHEDULER_SCRIPTS = ("due_schedules", "fire", "put_schedule", "resume_schedule")
SCRIPTS = {
    "publisher": ("publish",), "checked-publisher": ("publish", "publish_checked"), "waiter": (),
    "creator": ("create", "update"), "worker": WORKER_SCRIPTS,
    "dead-letter-worker": tuple(sorted({*WORKER_SCRIPTS} - {"resume"})),
    "viewer": (), "inspector": (), "scheduler": SCHEDULER_SCRIPTS,
    "operator": tuple(scripts.names()),
}  # fmt: skip
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "operations" / "security.md"


def rules(role: str, *names: str, marker: str = "acl") -> list[str]:
    """The rules of the documented line with the password filled in; a bracket is one rule.

    With queue names, the line is limited to these as documented: each pattern once for each name.
    """
    text = DOCUMENT.read_text(encoding="utf-8")
    block = re.search(rf"<!-- {marker}: {role} -->\n```\n(.*?)```", text, flags=re.DOTALL)
    assert block, f"docs/operations/security.md has no line for {role}"
    user, name, *words = block[1].split()
    assert (user, name) == ("user", role)
    words = [word.replace("PASSWORD", PASSWORD) for word in words]
    if names:
        words = [made for word in words for made in _named(word, names)]
    return re.findall(r"\([^)]*\)|\S+", " ".join(words))


def _named(word: str, names: Sequence[str]) -> list[str]:
    """Each pattern once for each name; the bracket after it follows the last one."""
    if "{*}" not in word:
        return [word]
    end = ")" if word.endswith(")") else ""
    patterns = [word.rstrip(")").replace("{*}", f"{{{name}}}") for name in names]
    return [*patterns[:-1], patterns[-1] + end]


def commands(role: str) -> set[str]:
    """The commands in the line."""
    return {word.strip("()")[1:] for rule in rules(role) for word in rule.split() if word.strip("()").startswith("+")}


def also(case: str) -> list[list[str]]:
    """The documented additions to every line in this case, one list for each entry of the row."""
    text = DOCUMENT.read_text(encoding="utf-8")
    row = re.search(rf"^\| {re.escape(case)} \|(.*)\|$", text, flags=re.MULTILINE)
    assert row, f"docs/operations/security.md has no row for {case}"
    return [words.replace("\\|", "|").split() for words in re.findall(r"`(\+[^`]*)`", row[1])]


def creating_redis6() -> list[str]:
    """The documented additions of a publisher that creates queues, for Redis 6."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(r"Creating queues takes `(.*?)` and `(.*?)` more", text, flags=re.DOTALL)
    assert found, "docs/operations/security.md does not list the commands for creating queues"
    return " ".join(found.groups()).split()


def brackets(role: str, *names: str) -> list[str]:
    """The rules to add to the line of another role."""
    return [rule for rule in rules(role, *names) if rule.startswith("(")]


def set_users(admin: Redis, *names: str, also: Sequence[str] = ()) -> None:
    """Create all users, for these queues or for all. Skips the test if the server does not support brackets."""
    for role in ROLES:
        set_user(admin, role, [*rules(role, *names), *also])


def set_user(admin: Redis, role: str, line: Sequence[str]) -> None:
    """Create one user from its line."""
    try:
        command(admin, "ACL", "SETUSER", role, "reset", *_split(line))
    except ResponseError as error:
        if int(command(admin, "INFO", "server")["redis_version"].partition(".")[0]) < 7:
            pytest.skip(f"a server without selectors: {error}")
        raise


def _split(line: Sequence[str]) -> Iterator[str]:
    return iter(" ".join(line).split(" "))


def url_of(server: RedisServer, role: str, database: int = 0) -> str:
    return f"redis://{role}:{PASSWORD}@{server.host}:{server.port}/{database}"


def refusals(admin: Redis) -> list[str]:
    """All refused commands since the log was reset."""
    entries = [dict(zip(flat[::2], flat[1::2])) for flat in command(admin, "ACL", "LOG")]
    return [f"{entry['username']}: {entry['object']} ({entry['context']})" for entry in entries]
