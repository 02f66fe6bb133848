"""Each thing that can be set up badly is found, on each kind of server, with what to do."""

from __future__ import annotations

import itertools
import re
import time
from functools import partial
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerFullError, doctor_checks
from bizzmq.doctor_finding import FULL, NEARLY_FULL
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.doctor.conftest import Examine, Patient
from tests.doctor.sentinel import a_sentinel
from tests.support.features import need_acl

MEMORY_BYTES = 60 * 2**20


def test_a_good_server_is_healthy(patient: Patient, examined: Examine) -> None:
    server = patient("maxmemory 200mb", persistence="aof")

    report = examined(server.url)

    assert {one.level.value for one in report.findings} == {"ok"}
    assert report.checks() == {
        "reachable", "server", "persistence", "eviction", "memory", "replication", "connections", "latency", "clock",
        "scripts", "commands", "permissions",
    }  # fmt: skip
    assert server.client().keys("*") == [], "the doctor writes nothing"


@pytest.mark.parametrize(
    ("lines", "options", "level", "said"),
    [
        ([], {}, "warn", "a restart of the server loses every message"),
        (["save 900 1"], {}, "warn", "snapshots only (changes: 1 in 900 s)"),
        ([], {"persistence": "aof", "fsync": "everysec"}, "ok", "up to the last 2 seconds"),
        ([], {"persistence": "aof", "fsync": "always"}, "ok", "no crash loses what was confirmed"),
        ([], {"persistence": "aof", "fsync": "no"}, "warn", "about the last 30 seconds"),
    ],
)
def test_persistence_and_what_a_crash_loses(
    patient: Patient, examined: Examine, lines: list[str], options: dict[str, Any], level: str, said: str
) -> None:
    found = examined(patient(*lines, **options).url).of("persistence")

    assert found[0] == level
    assert said in found[1]
    assert bool(found[2]) == (level == "warn")


def test_a_write_that_failed_is_a_failure(patient: Patient, examined: Examine) -> None:
    server = patient("save 900 1", "dbfilename occupied")
    client = server.client()
    (server.directory / "occupied").mkdir()
    client.set("x", 1)
    client.bgsave()
    eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 30.0)

    report = examined(server.url)

    assert "persistence" in report.failing()
    assert any("the last write to disk has failed" in one.what for one in report.findings)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "allkeys-random", "volatile-ttl"])
def test_eviction_is_a_failure(patient: Patient, examined: Examine, policy: str) -> None:
    level, what, do = examined(patient("maxmemory 100mb", f"maxmemory-policy {policy}").url).of("eviction")

    assert level == "fail"
    assert policy in what
    assert "maxmemory-policy noeviction" in do


def test_eviction_without_a_limit_is_a_warning(patient: Patient, examined: Examine) -> None:
    assert examined(patient("maxmemory-policy allkeys-lru").url).of("eviction")[0] == "warn"


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("share", "level", "begins"),
    [(NEARLY_FULL - 0.05, "ok", ""), (NEARLY_FULL + 0.05, "warn", "nearly full: "), (FULL + 0.02, "fail", "full: ")],
)
def test_memory_that_runs_out(patient: Patient, examined: Examine, share: float, level: str, begins: str) -> None:
    server = patient(f"maxmemory {MEMORY_BYTES}")
    _fill(server.client(), share)

    found = examined(server.url).of("memory")

    assert found[0] == level
    assert re.match(rf"{begins}[0-9.,]+ MB of maxmemory {MEMORY_BYTES / 2**20:,.1f} MB", found[1]), found
    assert bool(found[2]) == (level != "ok")


def test_a_server_that_refuses_to_publish_is_found_to_be_full(patient: Patient, examined: Examine) -> None:
    server = patient(f"maxmemory {MEMORY_BYTES}")
    with BizzMQ(server.url) as mq:
        mq.create_queue("q")
        _fill(server.client(), 0.97)
        publish = partial(mq.publish_message_to_queue, "q")
        with pytest.raises(BrokerFullError):
            list(map(publish, itertools.repeat("x" * 500_000, 1000)))

    level, what, do = examined(server.url).of("memory")

    assert (level, what.startswith("full: ")) == ("fail", True)
    assert "it refuses to publish" in what
    assert "raise maxmemory" in do


def _fill(client: Redis, share: float) -> None:
    """Store until so much of its memory is used."""
    piece = "x" * 200_000
    for number in itertools.count():
        if client.info("memory")["used_memory"] > share * MEMORY_BYTES:
            return
        client.set(f"ballast-{number}", piece)


@pytest.mark.usually(1)
def test_a_replica_is_refused_and_its_master_told_what_it_lacks(patient: Patient, examined: Examine) -> None:
    master = patient()
    replica = patient(f"replicaof {LOOPBACK} {master.port}", "repl-diskless-sync-delay 0")
    client = master.client()
    assert examined(master.url).of("replication")[0] in ("ok", "warn")
    eventually(lambda: _replica(client).get("state") == "online", 30.0, "the replica to be in sync")

    level, what, do = examined(replica.url).of("replication")
    assert (level, what.startswith(f"this is a replica of {LOOPBACK}:{master.port}")) == ("fail", True)
    assert "redis+sentinel://" in do

    level, what, do = examined(master.url).of("replication")
    assert (level, "min-replicas-to-write is 0" in what) == ("warn", True)
    assert "min-replicas-to-write 1" in do

    client.config_set("min-replicas-to-write", 1)
    level, what, _ = examined(master.url).of("replication")
    holds_scripts = int(str(client.info("server")["redis_version"]).split(".")[0]) >= 7
    assert (level, "lets scripts write" in what) == (("ok", False) if holds_scripts else ("warn", True))

    client.config_set("min-replicas-max-lag", 1)
    replica.pause()
    eventually(lambda: client.info("replication").get("min_slaves_good_slaves") == 0, 30.0, "the master to notice")
    level, what, _ = examined(master.url).of("replication")
    assert (level, "of 1 replicas 0 have been heard of" in what) == ("fail", True)
    replica.resume()
    client.config_set("min-replicas-to-write", 2)
    assert examined(master.url).of("replication")[0] == "fail"


def _replica(client: Redis) -> Any:
    return client.info("replication").get("slave0", {})


def test_a_node_of_a_cluster_needs_another_address(patient: Patient, examined: Examine) -> None:
    server = patient("cluster-enabled yes")

    level, what, do = examined(server.url).of("cluster")
    assert (level, "state is fail" in what) == ("fail", True)

    client = server.client()
    client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
    eventually(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")), 30.0)
    level, what, do = examined(server.url).of("cluster")
    assert (level, "one node of a cluster" in what, "redis+cluster://" in do) == ("fail", True, True)


def test_connections_that_run_out(patient: Patient, examined: Examine) -> None:
    server = patient("maxclients 50")
    others = [server.client(single_connection_client=True) for _ in range(42)]

    assert examined(server.url).of("connections")[0] == "warn"

    others += [server.client(single_connection_client=True) for _ in range(6)]
    assert examined(server.url).of("connections")[0] == "fail"
    assert all(other.ping() for other in others)


def test_no_connection_left_is_told(patient: Patient, examined: Examine) -> None:
    server = patient("maxclients 10")
    others = [server.client(single_connection_client=True) for _ in range(10)]

    level, what, do = examined(server.url).of("reachable")

    assert (level, "max number of clients" in what, "maxclients" in do) == ("fail", True, True)
    assert all(other.ping() for other in others)


def test_a_clock_that_differs(patient: Patient, examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    url = patient().url
    real = time.time
    monkeypatch.setattr(doctor_checks.time, "time", lambda: real() - 90)

    level, what, _ = examined(url).of("clock")

    assert (level, what.split(" s ")[0]) == ("warn", "the server's clock is 90.0")
    assert "ahead of this host's" in what


def test_latency_is_told(patient: Patient, examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    url = patient().url
    level, what, _ = examined(url).of("latency")
    assert (level in ("ok", "warn"), "median of 50" in what) == (True, True)

    monkeypatch.setattr(doctor_checks, "_SLOW_MS", 0.0)
    level, _, do = examined(url).of("latency")
    assert (level, "closer together" in do) == ("warn", True)


def test_scripts_that_do_not_run(patient: Patient, examined: Examine) -> None:
    server = patient()
    need_acl(server.client())
    server.client().execute_command("ACL", "SETUSER", "default", "-evalsha")

    level, what, do = examined(server.url).of("scripts")

    assert (level, "cannot be run" in what, "EVALSHA" in do) == ("fail", True, True)


def test_a_sentinel_is_no_server(private_server: Callable[..., RedisServer], examined: Examine, tmp_path: Any) -> None:
    with a_sentinel(tmp_path) as url:
        level, what, do = examined(url).of("server")

    assert (level, "Sentinel" in what, "redis+sentinel://" in do) == ("fail", True, True)


def test_nobody_there_is_a_failure_and_nothing_else(examined: Examine) -> None:
    report = examined(f"redis://{LOOPBACK}:{free_port()}/0")

    assert [one.check for one in report.findings] == ["reachable"]
    assert report.failing() == {"reachable"}


@pytest.mark.parametrize("password", [":wrong@", ""])
def test_a_wrong_password_is_told_without_it(patient: Patient, examined: Examine, password: str) -> None:
    server = patient(password="canary")

    report = examined(f"redis://{password}{LOOPBACK}:{server.port}/0")

    assert report.failing() == {"reachable"}
    assert report.of("reachable")[2] == "put the right user and password into the URL"
    assert "canary" not in str(report.findings)
    assert "wrong" not in str(report.findings).replace("WRONGPASS", "")
    assert "canary" not in str(examined(server.url).findings)


def test_a_server_that_goes_away_in_the_middle_is_a_failure(
    patient: Patient, examined: Examine, proxy_factory: Callable[[str], Proxy]
) -> None:
    proxy = proxy_factory(patient().url)
    for _ in range(2):  # one lost reply is asked for again
        proxy.swallow_next_reply(b"TIME")

    report = examined(f"{proxy.url}?socket_timeout=1")

    assert report.failing() == {"reachable"}
    assert "server" in report.checks(), "what was found until then is told"
