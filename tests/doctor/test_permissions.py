"""What a user may do: told without doing it, and what is told is enough."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from bizzmq import BizzMQ, QueueOptions
from bizzmq.doctor_finding import Finding
from bizzmq.roles import ROLES, needed
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from tests.doctor.conftest import Examine, Patient
from tests.pool.command import OPERATOR, run
from tests.security import roles
from tests.support.features import need_acl, need_dry_run

QUEUE = "q"


def url_of(server: RedisServer) -> str:
    return server.url.replace("redis://", "redis://somebody:secret@")


def allow(server: RedisServer, *rules: str) -> str:
    """The URL of a user who may do only this."""
    need_acl(server.client())
    if "+acl|dryrun" in rules:
        need_dry_run(server.client())
    server.client().execute_command(
        "ACL", "SETUSER", "somebody", "reset", "on", ">secret", "~bizzmq:*", "-@all", *rules
    )
    return url_of(server)


def commands(role: str) -> list[str]:
    return [f"+{name}" for name in needed(role)]


def permissions(examined: Examine, url: str) -> dict[str, Finding]:
    """By the role that each finding is about."""
    found = [one for one in examined(url).findings if one.check == "permissions"]
    return {role: one for role in ROLES for one in found if one.what.endswith(f" {role} does")}


WAYS = {"dry run": ["+acl|whoami", "+acl|dryrun", "+ping"], "queueing": ["+multi", "+exec"]}
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_complete_with_what_is_told(patient: Patient, examined: Examine, way: str, role: str) -> None:
    url = allow(patient(), *commands(role), *WAYS[way])

    found = permissions(examined, url)

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
    patient: Patient, examined: Examine, way: str, role: str, missing: str, rule: str
) -> None:
    rules = [rule for rule in commands(role) if rule != f"+{missing}"]
    server = patient()
    url = allow(server, *rules, *WAYS[way])

    found = permissions(examined, url)

    assert found[role].do.endswith(f"ACL SETUSER NAME {rule}")
    server.client().execute_command("ACL", "SETUSER", "somebody", *rule.split(" "))
    assert permissions(examined, url)[role].level.value == "ok"


@every_way
def test_keys_that_are_not_permitted_are_named(patient: Patient, examined: Examine, way: str) -> None:
    server = patient()
    url = allow(server, "+@all")
    server.client().execute_command("ACL", "SETUSER", "somebody", "resetkeys", "~other:*")
    if way == "queueing":
        server.client().execute_command("ACL", "SETUSER", "somebody", "-acl")

    found = permissions(examined, url)

    assert {one.level.value for one in found.values()} == {"fail"}
    assert all("~bizzmq:*" in one.do for one in found.values())


@pytest.mark.parametrize("role", roles.ROLES)
@every_way
def test_the_users_of_the_documentation_may_do_what_they_are_for(
    patient: Patient, examined: Examine, way: str, role: str
) -> None:
    server = patient()
    roles.set_users(server.client())
    server.client().execute_command("ACL", "SETUSER", role, *WAYS[way])

    report = examined(roles.url_of(server, role))

    assert permissions(examined, roles.url_of(server, role))[role].level.value == "ok"
    assert report.failing() == ({"scripts"} if role == "viewer" else set())


@every_way
def test_a_missing_key_is_named(patient: Patient, examined: Examine, way: str) -> None:
    server = patient()
    roles.set_users(server.client())
    rules = [rule for rule in roles.rules("worker") if ":releases" not in rule]
    roles.set_user(server.client(), "worker", [*rules, *WAYS[way]])

    found = permissions(examined, roles.url_of(server, "worker"))

    assert found["worker"].do.endswith("ACL SETUSER NAME (+hdel +hget +hlen +hset ~bizzmq:{*}:releases)")


def test_nothing_is_written_by_asking(patient: Patient, examined: Examine) -> None:
    server = patient()

    examined(allow(server, "+@all", "-acl"))

    assert server.client().keys("*") == []


def test_a_full_server_says_what_is_permitted_too(patient: Patient, examined: Examine) -> None:
    server = patient()
    url = allow(server, "+@all", "-acl")
    server.client().config_set("maxmemory", 1)

    report = examined(url)

    assert report.failing() == {"memory"}
    assert {one.level.value for one in permissions(examined, url).values()} == {"ok"}


def test_a_user_who_may_not_even_ask_is_told_so(patient: Patient, examined: Examine) -> None:
    url = allow(patient(), "+evalsha", "+eval", "+time")

    assert examined(url).of("permissions")[:2] == (
        "warn", "this user may neither ACL DRYRUN nor MULTI, so what it may do cannot be asked"
    )  # fmt: skip


def test_what_is_refused_is_a_line_each_and_no_crash(patient: Patient, examined: Examine) -> None:
    url = allow(patient(), *commands("publisher"), *WAYS["queueing"], "-time", "-ping")

    report = examined(url)

    refused = [one for one in report.findings if one.check == "refused"]
    assert [one.what.split()[0] for one in refused] == ["INFO", "CONFIG", "PING", "TIME"]
    assert [one.do.split(",")[0].split("+")[1] for one in refused] == ["info", "config|get", "ping", "time"]
    assert {one.level.value for one in refused} == {"warn"}
    assert report.of("reachable")[0] == "ok"


def test_renamed_commands_are_as_good_as_refused(patient: Patient, examined: Examine) -> None:
    server = patient('rename-command CONFIG ""', 'rename-command INFO ""', 'rename-command SCAN ""')

    report = examined(server.url)

    assert [one.what.split()[0] for one in report.findings if one.check == "refused"] == ["INFO", "CONFIG"]
    missing = [one.what.partition("has no ")[2].partition(":")[0] for one in report.findings if one.check == "commands"]
    assert missing == ["INFO", "SCAN"]


@pytest.mark.usually(1)
def test_what_is_told_is_enough_for_each_role(
    patient: Patient, pool_factory: Callable[..., Pool], ledger: Ledger, monkeypatch: Any
) -> None:
    server = patient()
    with BizzMQ(allow(server, *commands("publisher"), *commands("creator"))) as mq:
        options = QueueOptions(config_dead_letter_queue=True, retry_backoff_s=0.0, max_retries=1)
        assert mq.create_queue(QUEUE, options), "somebody else has found this server"
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
