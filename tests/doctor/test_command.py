"""`bizzmq doctor` as an operator runs it, and the warnings of a pool."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest

from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from tests.faults.conftest import own_scene
from tests.faults.scene import Scene, log_says
from tests.pool.command import OPERATOR, refused, run
from tests.support.features import need_acl

__all__ = ["own_scene"]

WARNING = "Redis evicts messages when its memory is full, set maxmemory-policy noeviction"
OwnScene = Callable[..., "tuple[RedisServer, Scene]"]


def test_findings_are_lines_with_advice(private_server: Callable[..., RedisServer]) -> None:
    server = private_server(config=["maxmemory 100mb", "maxmemory-policy allkeys-lru"])

    ended = run(OPERATOR, "doctor", REDIS_URL=server.url)

    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (1, "")
    at = next(number for number, line in enumerate(lines) if line.startswith("fail  eviction"))
    assert "allkeys-lru" in lines[at]
    assert lines[at + 1].startswith(" " * 17 + "  -> CONFIG SET maxmemory-policy noeviction")
    assert lines[-1].endswith(" 1 fail")


def test_warnings_do_not_fail(private_server: Callable[..., RedisServer]) -> None:
    ended = run(OPERATOR, "doctor", REDIS_URL=private_server().url)

    assert ended.code == 0
    assert "warn  persistence" in ended.out


def test_a_missing_queue_is_reported(private_server: Callable[..., RedisServer]) -> None:
    url = private_server().url

    before = run(OPERATOR, "doctor", "--queue", "later", REDIS_URL=url)
    run(OPERATOR, "queue", "create", "later", REDIS_URL=url)
    after = run(OPERATOR, "doctor", "--queue", "later", REDIS_URL=url)

    assert "warn  queues       there is no queue later yet" in before.out
    assert "no queue" not in after.out
    assert "1 queues, and pools can use all of them" in after.out
    assert (before.code, after.code) == (0, 0)


def test_json_output_and_an_explicit_address(private_server: Callable[..., RedisServer]) -> None:
    url = private_server(persistence="aof", fsync="always").url

    found = run(OPERATOR, "doctor", "--json", "--redis-url", url, REDIS_URL="redis://nowhere.invalid").json()

    assert found["healthy"] is True
    assert {"level": "ok", "check": "persistence", "do": "",
            "what": "the append-only file is on disk before each reply: a crash loses nothing that was confirmed",
            } in found["findings"]  # fmt: skip


def test_an_unavailable_server_is_a_finding() -> None:
    ended = run(OPERATOR, "doctor", "--json", REDIS_URL=f"redis://{LOOPBACK}:{free_port()}/0")

    assert (ended.code, ended.err) == (1, "")
    document = json.loads(ended.out)
    assert (document["healthy"], [one["check"] for one in document["findings"]]) == (False, ["reachable"])


@pytest.mark.parametrize("arguments", [["--redis-url", "http://x"], ["--what"], ["surplus"]])
def test_wrong_input_is_one_line(arguments: list[str]) -> None:
    refused(OPERATOR, "doctor", *arguments)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_pool_warns_of_an_eviction_policy(own_scene: OwnScene, policy: str) -> None:
    _, scene = own_scene(config=["maxmemory 100mb", f"maxmemory-policy {policy}"])
    scene.publish({"do": "ok"})
    pool = scene.pool()

    log_says(pool, WARNING)

    (line,) = [line for line in pool.log().splitlines() if WARNING in line]
    assert " WARNING " in line
    assert f"policy={policy} maxmemory=100.00M" in line
    scene.settle()
    scene.retire(pool)
    assert pool.log().count(WARNING) == 1


def test_a_pool_does_not_warn_of_noeviction(own_scene: OwnScene) -> None:
    _, scene = own_scene(config=["maxmemory 100mb", "maxmemory-policy noeviction"])
    pool = scene.pool()
    scene.publish({"do": "ok"})
    scene.settle()
    scene.retire(pool)

    assert WARNING not in pool.log()


def test_a_pool_without_permission_to_check_works_silently(own_scene: OwnScene) -> None:
    server, scene = own_scene(config=["maxmemory 100mb", "maxmemory-policy allkeys-lru"])
    client: Any = server.client()
    need_acl(client)
    client.execute_command("ACL", "SETUSER", "default", "-info", "-config")
    pool = scene.pool()
    scene.publish({"do": "ok"})
    scene.settle()
    scene.retire(pool)

    assert WARNING not in pool.log()
    assert "unavailable" not in pool.log()
