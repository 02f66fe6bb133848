"""Input from outside is cut before it reaches a log, a table, or a client of the health port."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any

import pytest

from bizzmq.cli.tables import CELL_LIMIT, table
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.error_record import TYPE_LIMIT, error_record
from bizzmq.utils.logs import FIELD_LIMIT, TRACE_LIMIT, JsonFormatter, TextFormatter, log
from bizzmq.workers.control import health
from bizzmq.workers.control.request_server import MAX_REQUEST_BYTES, RequestServer

HUGE = "x" * 5_000_000
_logger = logging.getLogger("bizzmq.sizes")
Enormous: Any = type("E" * 200_000, (Exception,), {})


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    "fields",
    [{"message": HUGE}, {"error": HUGE}, {"error": Enormous(HUGE)}, {"ids": [HUGE, HUGE]}, {"trace": HUGE},
     {"count": 7}],
)  # fmt: skip
def test_the_length_of_a_log_line_is_limited(
    caplog: pytest.LogCaptureFixture, formatter: Any, fields: dict[str, Any]
) -> None:
    with caplog.at_level(logging.INFO):
        log(_logger, logging.INFO, "something was said", **fields)

    assert len(formatter.format(caplog.records[0])) < 2 * FIELD_LIMIT + TRACE_LIMIT + 500


def test_small_fields_are_unchanged_in_json(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log(_logger, logging.INFO, "reported", count=7, share=0.5, nothing=None, yes=True, names=["a"])

    reported = json.loads(JsonFormatter().format(caplog.records[0]))
    assert [reported[name] for name in ("count", "share", "nothing", "yes", "names")] == [7, 0.5, None, True, ["a"]]


def test_the_length_of_a_table_cell_is_limited(capsys: pytest.CaptureFixture[str]) -> None:
    table([[HUGE, "E" * 200_000]], ("id", "error_type"))

    assert max(map(len, capsys.readouterr().out.splitlines())) < 2 * CELL_LIMIT + 100


def test_a_long_error_type_is_cut_before_it_is_stored() -> None:
    record = json.loads(error_record(Enormous("no"), queue="q", worker="w", attempts=Attempts()))

    assert record["error_type"] == "E" * TYPE_LIMIT


@pytest.mark.parametrize("size", [MAX_REQUEST_BYTES, 5 * 1024, 60_000])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_large_request_gets_431_and_no_reset(size: int, method: str) -> None:
    listener = health.listen("127.0.0.1", 0)
    server = RequestServer(listener, health.answer_with("", lambda: ""), too_large=health.too_large())
    try:
        with socket.create_connection(listener.getsockname()) as client:
            client.settimeout(0.01)
            client.sendall(f"{method} /live HTTP/1.1\r\nX: {'x' * size}\r\n\r\n".encode())
            assert _all_of(client, server).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        with socket.create_connection(listener.getsockname()) as client:
            client.settimeout(0.01)
            client.sendall(b"POST /live HTTP/1.1\r\n\r\n" + b"x" * size)
            assert _all_of(client, server).startswith(b"HTTP/1.1 405 ")
    finally:
        server.close()


def _all_of(client: socket.socket, server: RequestServer) -> bytes:
    """The reply up to the end of the connection, which must not be a reset."""
    reply = b""
    for _ in range(2000):
        server.serve()
        try:
            chunk = client.recv(65536)
        except socket.timeout:
            continue
        if not chunk:
            return reply
        reply += chunk
    raise AssertionError(f"the connection does not end: {reply!r}")
