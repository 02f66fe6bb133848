"""Busy polling for a reply: what it finds, when it gives up, and when it tries again."""

from __future__ import annotations

import select
import socket
from typing import Iterator

import pytest

from bench.fair.delay import DelayingProxy
from bizzmq.connection.base import Connection
from bizzmq.connection.busy_poll import BusyPoll

SLEPT_FOR = 256


class Near:
    """One side of a pair of sockets; counts the polls."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self.looks = 0

    def recv(self, size: int, flags: int) -> bytes:
        self.looks += 1
        return self._plain.recv(size, flags)


@pytest.fixture
def pair() -> Iterator[tuple[Near, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield Near(near), far


def test_an_available_reply_is_found_with_the_first_poll(pair: tuple[Near, socket.socket]) -> None:
    near, far = pair
    far.send(b"+OK\r\n")

    assert BusyPoll(near.recv)(100) == b"+OK\r\n"
    assert near.looks == 1


def test_the_end_of_the_stream_is_found(pair: tuple[Near, socket.socket]) -> None:
    near, far = pair
    far.shutdown(socket.SHUT_WR)

    assert BusyPoll(near.recv)(100) == b""


def test_a_broken_connection_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        near.send(b"PING\r\n")
        far.recv(1)
        far.close()  # with unread bytes: a reset
        assert select.select([near], [], [], 5.0)[0]

        with pytest.raises(ConnectionResetError):
            BusyPoll(near.recv)(100)


def test_a_slow_server_is_waited_for_and_polled_again_from_time_to_time(
    pair: tuple[Near, socket.socket],
) -> None:
    near, far = pair
    look = BusyPoll(near.recv)
    looked = []
    for _ in range(4 * SLEPT_FOR):
        near.looks = 0
        assert look(100) is None
        looked.append(near.looks > 0)

    first = looked.index(False)
    assert 1 < first < SLEPT_FOR / 4, "busy polling stops soon"
    assert 3 <= sum(looked[first:]) <= 12, "it is polled a few times in each period"
    far.send(b"+OK\r\n")
    found = [look(100) for _ in range(SLEPT_FOR)]
    assert found.count(b"+OK\r\n") == 1


def test_a_server_that_became_faster_is_polled_again(pair: tuple[Near, socket.socket]) -> None:
    near, far = pair
    look = BusyPoll(near.recv)
    while near.looks:
        near.looks = 0
        look(100)
    far.send(b"+OK\r\n")
    while look(100) is None:
        pass

    calls = 0
    for _ in range(100):
        far.send(b"+OK\r\n")
        while look(100) is None:
            calls += 1
    assert calls < 3 * SLEPT_FOR, "each is found at once, unless another process had the processor for the first ones"


def test_replies_arrive_with_and_without_polling(url: str) -> None:
    with DelayingProxy(url) as proxy:
        connection = Connection(proxy.url)
        for delay_s in (0.0, 0.002, 0.0):
            proxy.delay_s = delay_s
            for number in range(40):
                assert connection.execute("ECHO", number) == str(number).encode()
        connection.drop()
