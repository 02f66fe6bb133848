"""Connections of an event loop: addresses, credentials, time limits, and what a server does to them."""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQ, BrokerUnavailableError
from bizzmq.aio.connection.base import AsyncConnection
from bizzmq.connection import tcp_keepalive
from bizzmq.embedded import server as embedded
from bizzmq.errors import BrokerRefusesError, BrokerReplyError, BrokerUnusableError
from bizzmq.testing.ports import free_port
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from tests.aio.conftest import Run


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


def with_connection(url: str, use: Callable[[AsyncConnection], Any], **limits: float) -> Any:
    async def main() -> Any:
        connection = AsyncConnection(url, **limits)
        try:
            return await use(connection)
        finally:
            connection.drop()

    return main()


def test_a_unix_socket_is_an_address(run: Run, server: RedisServer, redis: Redis) -> None:
    async def main() -> bool:
        async with AsyncBizzMQ(server.unix_url) as amq:
            return await amq.create_queue("q")

    assert run(main()) is True
    assert redis.exists("bizzmq:{q}:meta")


def test_a_unix_socket_that_does_not_exist_is_named(run: Run) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"/nowhere/redis\.sock"):
        run(with_connection("unix:///nowhere/redis.sock", lambda connection: connection.execute("PING")))


def test_a_database_a_name_and_a_host_name_are_used(run: Run, server: RedisServer, redis: Redis) -> None:
    port = server.url.split(":")[2].split("/")[0]
    url = f"redis://localhost:{port}/3?client_name=async-client"
    info = run(with_connection(url, lambda connection: connection.execute("CLIENT", "LIST")))

    (line,) = [line for line in info.decode().splitlines() if "cmd=client" in line]
    assert "name=async-client" in line
    assert " db=3 " in line


def test_users_and_passwords_are_used(run: Run, url: str, redis: Redis) -> None:
    redis.acl_setuser("async-user", enabled=True, passwords=["+p@ss/wörd"], commands=["+ping"])
    host = url.split("/")[2]
    try:
        good = f"redis://async-user:p%40ss%2Fw%C3%B6rd@{host}"
        assert run(with_connection(good, lambda connection: connection.execute("PING"))) == b"PONG"
        for bad in (f"redis://async-user:wrong@{host}", f"redis://nobody:x@{host}", f"redis://:x@{host}"):
            with pytest.raises(BrokerUnusableError):
                run(with_connection(bad, lambda connection: connection.execute("PING")))
    finally:
        redis.acl_deluser("async-user")


def test_a_database_that_does_not_exist_is_an_unusable_server(run: Run, url: str) -> None:
    with pytest.raises(BrokerUnusableError, match="DB index"):
        run(with_connection(url[:-1] + "99", lambda connection: connection.execute("PING")))


def test_a_server_that_is_not_there_is_named(run: Run) -> None:
    port = free_port()

    async def main() -> None:
        async with AsyncBizzMQ(f"redis://127.0.0.1:{port}"):
            raise AssertionError("there is no server")

    with pytest.raises(BrokerUnavailableError, match=f"connecting to 127.0.0.1:{port}"):
        run(main())


def test_a_host_name_that_does_not_exist_is_named(run: Run) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"nowhere\.invalid:6379"):
        run(with_connection("redis://nowhere.invalid", lambda connection: connection.execute("PING")))


def test_a_server_that_does_not_speak_redis_is_refused(run: Run) -> None:
    async def main() -> None:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        serving = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = serving.sockets[0].getsockname()[1]
        connection = AsyncConnection(f"redis://127.0.0.1:{port}")
        try:
            with pytest.raises((BrokerUnavailableError, BrokerReplyError)):
                await connection.execute("PING")
        finally:
            connection.drop()
            serving.close()
            await serving.wait_closed()

    run(main())


def test_a_reply_that_does_not_come_is_not_waited_for(run: Run, silent_port: int) -> None:
    url = f"redis://127.0.0.1:{silent_port}"
    with pytest.raises(BrokerUnavailableError, match="timed out"):
        run(with_connection(url, lambda connection: connection.execute("PING"), timeout_s=0.1))


def test_a_command_may_block_for_longer_than_a_reply_may_take(run: Run, url: str, redis: Redis) -> None:
    async def use(connection: AsyncConnection) -> Any:
        assert await connection.execute("BLPOP", "nothing", "1", wait_s=1.0) is None
        with pytest.raises(BrokerUnavailableError, match="timed out"):
            await connection.execute("BLPOP", "nothing", "3")
        return await connection.execute("PING")

    assert run(with_connection(url, use, timeout_s=0.5)) == b"PONG"


def test_a_connection_that_was_closed_while_it_was_idle_is_not_a_failure(run: Run, proxy: Proxy) -> None:
    async def use(connection: AsyncConnection) -> None:
        for _ in range(3):
            assert await connection.execute("PING") == b"PONG"
            proxy.cut()
            assert await connection.transaction(("ECHO", "a"), ("ECHO", "b")) == [b"a", b"b"]
            proxy.cut()

    run(with_connection(proxy.url, use))


def test_what_a_server_sends_without_being_asked_answers_nothing(run: Run) -> None:
    async def main() -> None:
        opened = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            number = opened
            while await reader.readuntil(b"PING\r\n"):
                writer.write(b"+%d\r\n" % number)
                if number == 1:
                    writer.write(b"+stray\r\n")
                await writer.drain()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await answer(reader, writer)
            except asyncio.IncompleteReadError:
                writer.close()

        serving = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = AsyncConnection(f"redis://127.0.0.1:{serving.sockets[0].getsockname()[1]}")
        assert await connection.execute("PING") == b"1"
        while connection.is_open:
            await asyncio.sleep(0)
        assert await connection.execute("PING") == b"2"
        connection.drop()
        serving.close()
        await asyncio.sleep(0.01)

    run(main())


def test_large_requests_and_replies_pass_in_both_directions(run: Run, url: str, redis: Redis) -> None:
    async def use(connection: AsyncConnection) -> None:
        text = "x" * 30_000_000
        assert await connection.execute("SET", "large", text) == b"OK"
        assert await connection.execute("GET", "large") == text.encode()
        assert len(await connection.execute_all(*[("GETRANGE", "large", 0, 99_999)] * 200)) == 200

    run(with_connection(url, use))


def test_the_kernel_watches_over_idle_connections(run: Run, url: str) -> None:
    async def use(connection: AsyncConnection) -> tuple[int, int, int]:
        await connection.execute("PING")
        wire = connection._wire
        assert wire is not None
        sock = wire._socket
        return (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) if hasattr(socket, "TCP_KEEPIDLE") else 45,
        )

    assert run(with_connection(url, use)) == (1, 1, tcp_keepalive.IDLE_S)


def test_a_loading_or_busy_server_is_unavailable_and_comes_back(
    run: Run, private_server: Callable[..., RedisServer]
) -> None:
    server = private_server()

    async def use(connection: AsyncConnection) -> None:
        with server.client() as redis:
            await connection.execute("SET", "a", "1")
            redis.config_set("requirepass", "secret")
            connection.drop()
            with pytest.raises(BrokerRefusesError, match="Authentication required"):
                await connection.execute("GET", "a")
            redis.execute_command("AUTH", "secret")
            redis.config_set("requirepass", "")
        assert await connection.execute("GET", "a") == b"1"

    run(with_connection(server.url, use))


def test_an_embedded_server_is_started_by_the_first_call(
    run: Run, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"embedded://{tmp_path_factory.mktemp('e')}"
    joined: list[str] = []
    join = embedded.join
    monkeypatch.setattr(embedded, "join", lambda given: (joined.append(given), join(given))[1])

    async def main() -> None:
        amq = AsyncBizzMQ(url)
        assert joined == []
        await asyncio.gather(*[amq.create_queue(f"q{number}") for number in range(5)])
        await amq.publish_message_to_queue("q1", 1)
        seen: list[Any] = []
        await amq.consume_until_empty("q1", seen.append)
        assert seen == [1]
        await amq.close()

    run(main())
    assert joined != []
    with BizzMQ(url) as mq:
        assert mq.stats("q1").acked == 1


def test_limits_are_those_of_the_blocking_connection() -> None:
    assert (AsyncConnection.reply_s, AsyncConnection.longest_block_s) == (5.0, math.inf)
