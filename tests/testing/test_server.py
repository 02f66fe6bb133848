"""The servers of the fault kit: they can be killed, stopped, paused and restarted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Callable

import psutil
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from bizzmq.testing import ports
from bizzmq.testing.family import is_living
from bizzmq.testing.server import NO_ANSWER, RedisServer
from bizzmq.testing.wait import eventually
from tests.support.paths import ROOT

StartServer = Callable[..., RedisServer]


def test_both_addresses_lead_to_the_same_server(server: RedisServer, redis: Redis) -> None:
    redis.set("key", "value")

    for url in (server.url, server.unix_url):
        with Redis.from_url(url, protocol=2) as client:
            assert client.get("key") == b"value"


def test_with_aof_a_killed_server_returns_with_everything_it_has_confirmed(private_server: StartServer) -> None:
    server = private_server(persistence="aof")
    client, port = server.client(), server.port
    for number in range(100):
        client.rpush("list", number)

    server.kill()
    with pytest.raises(RedisConnectionError):
        client.ping()
    server.restart()

    assert server.port == port
    assert client.llen("list") == 100


def test_without_persistence_a_restarted_server_is_empty(private_server: StartServer) -> None:
    server = private_server()
    server.client().set("key", "value")

    server.restart()

    assert server.client().get("key") is None


def test_a_paused_server_answers_nothing_until_it_is_resumed(private_server: StartServer) -> None:
    server = private_server()
    client = server.client(socket_timeout=2)
    client.ping()

    server.pause()
    with pytest.raises(NO_ANSWER):
        client.incr("counter")
    server.resume()

    eventually(lambda: client.get("counter") == "1", what="the late command", ignoring=(RedisError,))


def test_a_paused_server_can_be_killed(private_server: StartServer) -> None:
    server = private_server()
    server.pause()

    server.kill()

    assert not server.alive


def test_a_password_is_needed_and_part_of_the_url(private_server: StartServer) -> None:
    server = private_server(password="canary", config=["maxmemory 64mb"])

    with Redis.from_url(server.url, protocol=2) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(64 * 2**20)}
    with pytest.raises(RedisError, match=r"(NOAUTH|Authentication required)"):
        server.client(password=None).ping()


def test_a_server_that_cannot_start_says_why(private_server: StartServer) -> None:
    with pytest.raises(RuntimeError, match="no-such-directive"):
        private_server(config=["no-such-directive 1"])


def test_closing_leaves_neither_process_nor_directory(private_server: StartServer) -> None:
    server = private_server()
    process = psutil.Process(server.pid)

    server.close()

    assert not process.is_running()
    assert not server.directory.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_the_server_dies_with_the_process_that_started_it() -> None:
    code = """if True:
        from bizzmq.testing.server import RedisServer
        server = RedisServer()
        print(server.pid, server.directory, flush=True)
        input()
    """
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        server = psutil.Process(int(pid))

        owner.kill()

    eventually(lambda: not is_living(server), what="the server to die")
    shutil.rmtree(os.fsdecode(directory))


def test_a_server_outlives_the_thread_that_started_it(private_server: StartServer) -> None:
    started: list[RedisServer] = []
    thread = threading.Thread(target=lambda: started.append(private_server()))
    thread.start()
    thread.join()

    assert started[0].client().ping()


def test_processes_that_run_at_once_never_get_the_same_port() -> None:
    """A server that is down keeps its port: nobody else's server answers there."""
    take = """if True:
        import os
        from bizzmq.testing.ports import free_port
        def took():
            os.write(1, " ".join(str(free_port()) for _ in range(120)).encode() + b"\\n")
        took()
        child = os.fork()
        if not child:
            took()
            input()
            os._exit(0)
        os.waitpid(child, 0)
    """
    command = [sys.executable, "-c", take]
    found: list[set[int]] = []
    with ExitStack() as stack:
        for _ in range(3):
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=str(ROOT))
            )
            assert process.stdout is not None
            found += [set(map(int, process.stdout.readline().split())) for _ in range(2)]

    assert [len(taken) for taken in found] == [99] * 6  # 120 ports go round once
    assert len(set().union(*found)) == 99 * 6
    assert all(ports.FIRST_PORT < port <= ports.LAST_PORT for port in set().union(*found))
