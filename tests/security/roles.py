"""The users that docs/security.md describes, on a server: what is tested is what is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from bizzmq.testing.layout import command
from bizzmq.testing.server import RedisServer

ROLES = ("publisher", "worker", "operator")
PASSWORD = "role-password"
_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"


def rules(role: str) -> list[str]:
    """The rules of the documented line, its password in place; a selector's are several."""
    text = _DOCUMENT.read_text(encoding="utf-8")
    block = re.search(rf"<!-- acl: {role} -->\n```\n(.*?)```", text, flags=re.DOTALL)
    assert block, f"docs/security.md has no line for {role}"
    user, name, *words = block[1].split()
    assert (user, name) == ("user", role)
    return [word.replace("PASSWORD", PASSWORD) for word in words]


def commands(role: str) -> set[str]:
    """The commands that the line names."""
    return {word.strip("()")[1:] for word in rules(role) if word.strip("()").startswith("+")}


def set_users(admin: Redis) -> None:
    """Make them all. Skips the test where the server is too old for selectors."""
    for role in ROLES:
        try:
            command(admin, "ACL", "SETUSER", role, "reset", *rules(role))
        except ResponseError as error:
            if int(command(admin, "INFO", "server")["redis_version"].partition(".")[0]) < 7:
                pytest.skip(f"a server without selectors: {error}")
            raise


def url_of(server: RedisServer, role: str) -> str:
    return f"redis://{role}:{PASSWORD}@{server.host}:{server.port}/0"


def refusals(admin: Redis) -> list[str]:
    """What was refused to anybody since the log was reset."""
    entries = command(admin, "ACL", "LOG")
    return [f"{entry['username']}: {entry['object']} ({entry['context']})" for entry in entries]
