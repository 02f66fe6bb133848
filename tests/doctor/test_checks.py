"""Each bad setting is found, on each kind of server, with advice."""

from __future__ import annotations

import itertools
import re
import time
from functools import partial
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerFullError
from bizzmq.doctor import server_checks
from bizzmq.doctor.findings import FULL, NEARLY_FULL
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.doctor.conftest import Examine, StartServer
from tests.doctor.sentinel import a_sentinel
from tests.support.features import need_acl

MEMORY_BYTES = 60 * 2**20


def test_a_good_server_is_healthy(configured: StartServer, examine_server: Examine) -> None:
    server = configured("maxmemory 200mb", persistence="aof")

    report = examine_server(server.url)

    assert {one.level.value for one in report.findings} == {"ok"}
    assert report.checks() == {
        "reachable", "server", "persistence", "eviction", "memory", "replication", "connections", "latency", "clock",
        "scripts", "commands", "permissions",
    }  # fmt: skip
    assert server.client().keys("*") == [], "the doctor writes nothing"


@pytest.mark.parametrize(
    ("lines", "options", "level", "reported"),
    [
        ([], {}, "warn", "a restart of the server loses every message"),
        (["save 900 1"], {}, "warn", "snapshots only (changes: 1 in 900 s)"),
        ([], {"persistence": "aof", "fsync": "everysec"}, "ok", "up to the last 2 seconds"),
        ([], {"persistence": "aof", "fsync": "always"}, "ok", "a crash loses nothing that was confirmed"),
        ([], {"persistence": "aof", "fsync": "no"}, "warn", "about the last 30 seconds"),
    ],
)
def test_persistence_and_the_loss_in_a_crash_are_reported(
    configured: StartServer,
    examine_server: Examine,
    lines: list[str],
    options: dict[str, Any],
    level: str,
    reported: str,
) -> None:
    found = examine_server(configured(*lines, **options).url).of("persistence")

    assert found[0] == level
    assert reported in found[1]
    assert bool(found[2]) == (level == "warn")


def test_a_write_that_failed_is_a_failure(configured: StartServer, examine_server: Examine) -> None:
    server = configured("save 900 1", "dbfilename occupied")
    client = server.client()
    (server.directory / "occupied").mkdir()
    client.set("x", 1)
    client.bgsave()
    eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 30.0)

    report = examine_server(server.url)

    assert "persistence" in report.failing()
    assert any("the last write to disk has failed" in one.what for one in report.findings)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "allkeys-random", "volatile-ttl"])
def test_eviction_is_a_failure(configured: StartServer, examine_server: Examine, policy: str) -> None:
    level, what, do = examine_server(configured("maxmemory 100mb", f"maxmemory-policy {policy}").url).of("eviction")

    assert level == "fail"
    assert policy in what
    assert "maxmemory-policy noeviction" in do


def test_eviction_without_a_limit_is_a_warning(configured: StartServer, examine_server: Examine) -> None:
    assert examine_server(configured("maxmemory-policy allkeys-lru").url).of("eviction")[0] == "warn"


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("share", "level", "begins"),
    [(NEARLY_FULL - 0.05, "ok", ""), (NEARLY_FULL + 0.05, "warn", "nearly full: "), (FULL + 0.02, "fail", "full: ")],
)
def test_memory_that_runs_out_is_found(
    configured: StartServer, examine_server: Examine, share: float, level: str, begins: str
) -> None:
    server = configured(f"maxmemory {MEMORY_BYTES}")
    _fill(server.client(), share)

    found = examine_server(server.url).of("memory")

    assert found[0] == level
    assert re.match(rf"{begins}[0-9.,]+ MB of maxmemory {MEMORY_BYTES / 2**20:,.1f} MB", found[1]), found
    assert bool(found[2]) == (level != "ok")


def test_a_server_that_refuses_a_publish_is_reported_as_full(configured: StartServer, examine_server: Examine) -> None:
    server = configured(f"maxmemory {MEMORY_BYTES}")
    with BizzMQ(server.url) as mq:
        mq.create_queue("q")
        _fill(server.client(), 0.97)
        publish = partial(mq.publish_message_to_queue, "q")
        with pytest.raises(BrokerFullError):
            list(map(publish, itertools.repeat("x" * 500_000, 1000)))

    level, what, do = examine_server(server.url).of("memory")

    assert (level, what.startswith("full: ")) == ("fail", True)
    assert "it refuses to publish" in what
    assert "raise maxmemory" in do


def _fill(client: Redis, share: float) -> None:
    """Store data until this share of its memory is used."""
    piece = "x" * 200_000
    for number in itertools.count():
        if client.info("memory")["used_memory"] > share * MEMORY_BYTES:
            return
        client.set(f"ballast-{number}", piece)


@pytest.mark.usually(1)
def test_a_replica_is_refused_and_the_settings_of_its_master_are_checked(
    configured: StartServer, examine_server: Examine
) -> None:
    master = configured()
    replica = configured(f"replicaof {LOOPBACK} {master.port}", "repl-diskless-sync-delay 0")
    client = master.client()
    assert examine_server(master.url).of("replication")[0] in ("ok", "warn")
    eventually(lambda: _replica(client).get("state") == "online", 30.0, "the replica to be in sync")

    level, what, do = examine_server(replica.url).of("replication")
    assert (level, what.startswith(f"this is a replica of {LOOPBACK}:{master.port}")) == ("fail", True)
    assert "redis+sentinel://" in do

    level, what, do = examine_server(master.url).of("replication")
    assert (level, "min-replicas-to-write is 0" in what) == ("warn", True)
    assert "min-replicas-to-write 1" in do

    client.config_set("min-replicas-to-write", 1)
    level, what, _ = examine_server(master.url).of("replication")
    holds_scripts = int(str(client.info("server")["redis_version"]).split(".")[0]) >= 7
    assert (level, "lets scripts write" in what) == (("ok", False) if holds_scripts else ("warn", True))

    client.config_set("min-replicas-max-lag", 1)
    replica.pause()
    eventually(lambda: client.info("replication").get("min_slaves_good_slaves") == 0, 30.0, "the master to notice")
    level, what, _ = examine_server(master.url).of("replication")
    assert (level, "0 of 1 replicas lag by less than" in what) == ("fail", True)
    replica.resume()
    client.config_set("min-replicas-to-write", 2)
    assert examine_server(master.url).of("replication")[0] == "fail"


def _replica(client: Redis) -> Any:
    return client.info("replication").get("slave0", {})


def test_a_node_of_a_cluster_needs_another_address(configured: StartServer, examine_server: Examine) -> None:
    server = configured("cluster-enabled yes")

    level, what, do = examine_server(server.url).of("cluster")
    assert (level, "state is fail" in what) == ("fail", True)

    client = server.client()
    client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    eventually(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")), 30.0)
    level, what, do = examine_server(server.url).of("cluster")
    assert (level, "one node of a cluster" in what, "redis+cluster://" in do) == ("fail", True, True)


def test_connections_that_run_out_are_found(configured: StartServer, examine_server: Examine) -> None:
    server = configured("maxclients 50")
    others = [server.client(single_connection_client=True) for _ in range(42)]

    assert examine_server(server.url).of("connections")[0] == "warn"

    others += [server.client(single_connection_client=True) for _ in range(6)]
    assert examine_server(server.url).of("connections")[0] == "fail"
    assert all(other.ping() for other in others)


def test_a_server_without_free_connections_is_reported(configured: StartServer, examine_server: Examine) -> None:
    server = configured("maxclients 10")
    others = [server.client(single_connection_client=True) for _ in range(10)]

    level, what, do = examine_server(server.url).of("reachable")

    assert (level, "max number of clients" in what, "maxclients" in do) == ("fail", True, True)
    assert all(other.ping() for other in others)


def test_a_different_clock_is_found(
    configured: StartServer, examine_server: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = configured().url
    real = time.time
    monkeypatch.setattr(server_checks.time, "time", lambda: real() - 90)

    level, what, _ = examine_server(url).of("clock")

    assert (level, what.split(" s ")[0]) == ("warn", "the server's clock is 90.0")
    assert "ahead of this host's" in what


def test_latency_is_reported(configured: StartServer, examine_server: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    url = configured().url
    level, what, _ = examine_server(url).of("latency")
    assert (level in ("ok", "warn"), "median of 50" in what) == (True, True)

    monkeypatch.setattr(server_checks, "_SLOW_MS", 0.0)
    level, _, do = examine_server(url).of("latency")
    assert (level, "closer together" in do) == ("warn", True)


def test_scripts_that_do_not_run_are_found(configured: StartServer, examine_server: Examine) -> None:
    server = configured()
    need_acl(server.client())
    server.client().execute_command("ACL", "SETUSER", "default", "-evalsha")

    level, what, do = examine_server(server.url).of("scripts")

    assert (level, "cannot be run" in what, "EVALSHA" in do) == ("fail", True, True)


def test_a_sentinel_is_not_accepted_as_a_server(
    private_server: Callable[..., RedisServer], examine_server: Examine, tmp_path: Any
) -> None:
    with a_sentinel(tmp_path) as url:
        level, what, do = examine_server(url).of("server")

    assert (level, "Sentinel" in what, "redis+sentinel://" in do) == ("fail", True, True)


def test_a_missing_server_is_one_failure_and_nothing_else(examine_server: Examine) -> None:
    report = examine_server(f"redis://{LOOPBACK}:{free_port()}/0")

    assert [one.check for one in report.findings] == ["reachable"]
    assert report.failing() == {"reachable"}


@pytest.mark.parametrize("password", [":wrong@", ""])
def test_a_wrong_password_is_reported_without_showing_it(
    configured: StartServer, examine_server: Examine, password: str
) -> None:
    server = configured(password="canary")

    report = examine_server(f"redis://{password}{LOOPBACK}:{server.port}/0")

    assert report.failing() == {"reachable"}
    assert report.of("reachable")[2] == "put the right user and password into the URL"
    assert "canary" not in str(report.findings)
    assert "wrong" not in str(report.findings).replace("WRONGPASS", "")
    assert "canary" not in str(examine_server(server.url).findings)


def test_a_server_that_dies_during_the_checks_is_a_failure(
    configured: StartServer, examine_server: Examine, proxy_factory: Callable[[str], Proxy]
) -> None:
    proxy = proxy_factory(configured().url)
    for _ in range(2):  # one lost reply is retried
        proxy.swallow_next_reply(b"TIME")

    report = examine_server(f"{proxy.url}?socket_timeout=1")

    assert report.failing() == {"reachable"}
    assert "server" in report.checks(), "earlier findings are reported"
