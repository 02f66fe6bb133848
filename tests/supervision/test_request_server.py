"""The server of the control socket and the health port: no client blocks the loop."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from bizzmq.testing.wait import eventually
from bizzmq.workers.control import control_socket
from bizzmq.workers.control.control_socket import answer_with
from bizzmq.workers.control.request_server import MAX_CLIENTS, MAX_REQUEST_BYTES, TIMEOUT_S, RequestServer


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def responder(runtime: Path, clock: Clock) -> Any:
    listener = control_socket.bind(runtime / "s.sock")
    responder = RequestServer(listener, answer_with({"hello": lambda: "x" * 3_000_000, "hi": lambda: "ho"}), clock)
    yield responder
    responder.close()


@pytest.fixture
def connect(runtime: Path, responder: RequestServer) -> Any:
    clients: list[socket.socket] = []

    def connect() -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(runtime / "s.sock"))
        client.settimeout(0.0)
        clients.append(client)
        responder.serve()
        return client

    yield connect
    for client in clients:
        client.close()


def is_dropped(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_silent_client_is_dropped(responder: RequestServer, clock: Clock, connect: Any) -> None:
    client = connect()
    assert responder.next_due_s() == TIMEOUT_S
    assert not is_dropped(client)

    clock.now_s = TIMEOUT_S
    responder.serve()

    assert is_dropped(client)
    assert responder.next_due_s() == float("inf")


def test_a_client_that_does_not_read_is_dropped(responder: RequestServer, clock: Clock, connect: Any) -> None:
    client = connect()
    client.sendall(b"hello\n")
    responder.serve()
    assert len(responder.descriptors()) == 2, "the reply does not fit the socket's buffer"

    clock.now_s = TIMEOUT_S
    responder.serve()

    assert len(responder.descriptors()) == 1


def test_a_client_that_reads_slowly_gets_everything(responder: RequestServer, connect: Any) -> None:
    client = connect()
    client.sendall(b"hello\n")
    received = b""

    def got_all() -> bool:
        nonlocal received
        responder.serve()
        try:
            received += client.recv(65536)
        except BlockingIOError:
            return False
        return received.endswith(b"\n")

    eventually(got_all)
    assert len(received) == 3_000_001


def test_a_new_client_replaces_the_oldest_at_the_limit(responder: RequestServer, connect: Any) -> None:
    clients = [connect() for _ in range(MAX_CLIENTS)]
    assert not any(map(is_dropped, clients))

    newest = connect()
    newest.sendall(b"hi\n")
    responder.serve()

    assert newest.recv(100) == b"ho\n"
    assert [is_dropped(client) for client in clients] == [True] + [False] * (MAX_CLIENTS - 1)


def test_a_client_with_a_too_long_request_is_dropped(responder: RequestServer, connect: Any) -> None:
    client = connect()
    client.sendall(b"x" * MAX_REQUEST_BYTES)
    responder.serve()

    assert is_dropped(client)


@pytest.mark.parametrize("request_line", [b"\xff\x00\n", b"rm -rf\n", b"\n", b"STATUS\n"])
def test_an_invalid_request_gets_an_error_message(responder: RequestServer, connect: Any, request_line: bytes) -> None:
    client = connect()
    client.sendall(request_line)
    responder.serve()

    assert client.recv(100) == b"error: say status, check, ready or idle\n"
