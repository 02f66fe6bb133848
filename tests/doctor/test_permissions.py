"""The permissions of a user: checked without using them, and the suggested ones are sufficient."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from bizzmq import BizzMQ, QueueOptions
from bizzmq.doctor.findings import Finding
from bizzmq.doctor.roles import ROLES, needed
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from tests.doctor.conftest import Examine, StartServer
from tests.pool.command import OPERATOR, run
from tests.security import roles
from tests.support.features import need_acl, need_dry_run

QUEUE = "q"


def url_of(server: RedisServer) -> str:
    return server.url.replace("redis://", "redis://somebody:secret@")


def allow(server: RedisServer, *rules: str) -> str:
    """The URL of a user with only these permissions."""
    need_acl(server.client())
    if "+acl|dryrun" in rules:
        need_dry_run(server.client())
    server.client().execute_command(
        "ACL", "SETUSER", "somebody", "reset", "on", ">secret", "~bizzmq:*", "&bizzmq:*", "-@all", *rules
    )
    return url_of(server)


def commands(role: str) -> list[str]:
    return [f"+{name}" for name in needed(role)]


def permissions(examine_server: Examine, url: str) -> dict[str, Finding]:
    """The permission findings by role."""
    found = [one for one in examine_server(url).findings if one.check == "permissions"]
    return {role: one for role in ROLES for one in found if one.what.endswith(f" {role} does")}


WAYS = {"dry run": ["+acl|whoami", "+acl|dryrun", "+ping"], "queueing": ["+multi", "+exec"]}
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_complete_with_the_suggested_permissions(
    configured: StartServer, examine_server: Examine, way: str, role: str
) -> None:
    url = allow(configured(), *commands(role), *WAYS[way])

    found = permissions(examine_server, url)

    assert found[role].level.value == "ok"
    assert {one.level.value for one in found.values()} <= {"ok", "warn"}


@every_way
@pytest.mark.parametrize(
    ("role", "missing", "rule"),
    [
        ("publisher", "zadd", "(+zadd %W~bizzmq:{*}:prioritized %W~bizzmq:{*}:delayed %W~bizzmq:{*}:wake)"),
        ("worker", "bzpopmin", "(+bzpopmin ~bizzmq:{*}:wake)"),
        ("operator", "scan", "+scan"),
    ],
)
def test_a_missing_command_is_named_with_its_keys(
    configured: StartServer, examine_server: Examine, way: str, role: str, missing: str, rule: str
) -> None:
    rules = [rule for rule in commands(role) if rule != f"+{missing}"]
    server = configured()
    url = allow(server, *rules, *WAYS[way])

    found = permissions(examine_server, url)

    assert found[role].do.endswith(f"ACL SETUSER NAME {rule}")
    server.client().execute_command("ACL", "SETUSER", "somebody", *rule.split(" "))
    assert permissions(examine_server, url)[role].level.value == "ok"


@every_way
def test_keys_that_are_not_permitted_are_named(configured: StartServer, examine_server: Examine, way: str) -> None:
    server = configured()
    url = allow(server, "+@all")
    server.client().execute_command("ACL", "SETUSER", "somebody", "resetkeys", "~other:*")
    if way == "queueing":
        server.client().execute_command("ACL", "SETUSER", "somebody", "-acl")

    found = permissions(examine_server, url)

    assert {one.level.value for one in found.values()} == {"fail"}
    assert all("~bizzmq:*" in one.do for one in found.values())


@pytest.mark.parametrize("role", roles.ROLES)
@every_way
def test_the_documented_users_have_the_permissions_of_their_roles(
    configured: StartServer, examine_server: Examine, way: str, role: str
) -> None:
    server = configured()
    roles.set_users(server.client())
    server.client().execute_command("ACL", "SETUSER", role, *WAYS[way])

    report = examine_server(roles.url_of(server, role))

    assert permissions(examine_server, roles.url_of(server, role))[role].level.value == "ok"
    assert report.failing() == ({"scripts"} if role in ("viewer", "inspector", "waiter") else set())


@every_way
def test_a_missing_key_is_named(configured: StartServer, examine_server: Examine, way: str) -> None:
    server = configured()
    roles.set_users(server.client())
    rules = [rule for rule in roles.rules("worker") if ":releases" not in rule]
    roles.set_user(server.client(), "worker", [*rules, *WAYS[way]])

    found = permissions(examine_server, roles.url_of(server, "worker"))

    assert found["worker"].do.endswith("ACL SETUSER NAME (+hdel +hget +hlen +hset ~bizzmq:{*}:releases)")


def test_the_check_writes_nothing(configured: StartServer, examine_server: Examine) -> None:
    server = configured()

    examine_server(allow(server, "+@all", "-acl"))

    assert server.client().keys("*") == []


def test_permissions_are_reported_on_a_full_server_too(configured: StartServer, examine_server: Examine) -> None:
    server = configured()
    url = allow(server, "+@all", "-acl")
    server.client().config_set("maxmemory", 1)

    report = examine_server(url)

    assert report.failing() == {"memory"}
    assert {one.level.value for one in permissions(examine_server, url).values()} == {"ok"}


def test_a_user_without_permission_to_check_gets_a_finding(configured: StartServer, examine_server: Examine) -> None:
    url = allow(configured(), "+evalsha", "+eval", "+time")

    assert examine_server(url).of("permissions")[:2] == (
        "warn", "this user may execute neither ACL DRYRUN nor MULTI: permissions cannot be checked"
    )  # fmt: skip


def test_each_refusal_is_one_finding_and_no_crash(configured: StartServer, examine_server: Examine) -> None:
    url = allow(configured(), *commands("publisher"), *WAYS["queueing"], "-time", "-ping")

    report = examine_server(url)

    refused = [one for one in report.findings if one.check == "refused"]
    assert [one.what.split()[0] for one in refused] == ["INFO", "CONFIG", "PING", "TIME"]
    assert [one.do.split(",")[0].split("+")[1] for one in refused] == ["info", "config|get", "ping", "time"]
    assert {one.level.value for one in refused} == {"warn"}
    assert report.of("reachable")[0] == "ok"


def test_renamed_commands_count_as_refused(configured: StartServer, examine_server: Examine) -> None:
    server = configured('rename-command CONFIG ""', 'rename-command INFO ""', 'rename-command SCAN ""')

    report = examine_server(server.url)

    assert [one.what.split()[0] for one in report.findings if one.check == "refused"] == ["INFO", "CONFIG"]
    missing = [one.what.partition("has no ")[2].partition(":")[0] for one in report.findings if one.check == "commands"]
    assert missing == ["INFO", "SCAN"]


@pytest.mark.usually(1)
def test_the_suggested_permissions_suffice_for_each_role(
    configured: StartServer, pool_factory: Callable[..., Pool], ledger: Ledger, monkeypatch: Any
) -> None:
    server = configured()
    with BizzMQ(allow(server, *commands("publisher"), *commands("creator"))) as mq:
        options = QueueOptions(config_dead_letter_queue=True, retry_backoff_s=0.0, max_retries=1)
        assert mq.create_queue(QUEUE, options), "another process has used this server"
        bodies = [{"do": "ok"}, {"do": "raise"}, {"do": "segv", "times": 1}, {"do": "reject"}]
        ids = mq.publish_messages_to_queue(QUEUE, bodies)

    url = allow(server, *commands("worker"))
    pool = pool_factory(url, queue=[QUEUE, "other"], args=["--burst"], concurrency=2)
    assert pool.wait(60.0) == 0, pool.log()
    assert "no permissions" not in pool.log()
    assert {run_.id for run_ in ledger.runs()} == set(ids)

    url = allow(server, *commands("operator"))
    for arguments in (
        ["audit", QUEUE, "--repair"], ["queues"], ["stats", QUEUE], ["dlq", "list", QUEUE], ["dlq", "show", QUEUE],
        ["dlq", "replay", QUEUE], ["publish", QUEUE, "{}"], ["purge", QUEUE, "--yes"],
    ):  # fmt: skip
        ended = run(OPERATOR, *arguments, REDIS_URL=url)
        assert ended.code == 0, ended
