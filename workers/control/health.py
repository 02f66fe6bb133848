"""The health port: /live while the loop runs, /ready while the pool can handle messages, /metrics, /wanted."""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
import urllib.parse
from typing import Any, Callable, Mapping, Tuple

from bizzmq.errors import ConfigurationError
from bizzmq.metrics.prometheus import MISSING
from bizzmq.metrics.wanted import GOAL_S, RUN_S

_LONGEST_S = 30 * 86_400.0
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
    431: "Request Header Fields Too Large", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address. Names other than `localhost` are not resolved.

    Raises:
        ConfigurationError: it is not an IP address.
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigurationError(f"the health host must be an IP address or localhost, not {host!r}") from None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=16)
    except OSError as error:
        raise ConfigurationError(f"the health port {host}:{port} cannot be bound: {error.strerror}") from error


def answer_with(
    token: str,
    readiness_problem: Callable[[], str | None],
    metrics: Callable[[str], Tuple[bytes, str]] | None = None,
    wanted: Callable[[float, float], Mapping[str, Any] | None] | None = None,
) -> Callable[[bytes], bytes | None]:
    """An `answer` for RequestServer.

    Args:
        token: the token that clients must send as `Authorization: Bearer TOKEN`; "" for none.
        readiness_problem: why the pool is not ready, in one line; "" or None if it is ready.
        metrics: the body and the content type of a scrape, given its header `Accept`. It raises ImportError if its
            library is missing.
        wanted: how many workers and pools the queues need, given the goal and the run time to assume, in seconds; None
            if that is not known.
    """
    of_path = _answer_of_paths(readiness_problem, metrics, wanted)

    def answer(request: bytes) -> bytes | None:
        head, end, _ = request.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not end:
            return None
        first, *fields = head.decode("latin-1").split("\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _reply(400, "not HTTP/1.1")
        if token and not _has_token(token, fields):
            return _reply(401, "a token is needed", "WWW-Authenticate: Bearer\r\n")
        if words[0] != "GET":
            return _reply(405, "GET only", "Allow: GET\r\n")
        path, _, query = words[1].partition("?")
        return of_path(path, query, fields)

    return answer


def _answer_of_paths(
    readiness_problem: Callable[[], str | None],
    metrics: Callable[[str], Tuple[bytes, str]] | None,
    wanted: Callable[[float, float], Mapping[str, Any] | None] | None,
) -> Callable[[str, str, list[str]], bytes]:
    """A function that answers GET requests, given path, query and header fields."""

    def answer(path: str, query: str, fields: list[str]) -> bytes:
        if path == "/live":
            return _reply(200, "ok")
        if path == "/ready":
            problem = readiness_problem()
            return _reply(503 if problem else 200, problem or "ok")
        if path == "/metrics" and metrics is not None:
            return _scraped(metrics, _field(fields, "accept"))
        if path == "/wanted" and wanted is not None:
            return _wanted(wanted, query)
        return _reply(404, "there are /live, /ready, /metrics and /wanted")

    return answer


def _wanted(wanted: Callable[[float, float], Mapping[str, Any] | None], query: str) -> bytes:
    given = {"goal": GOAL_S, "run-time": RUN_S}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        number = _seconds(value)
        if name not in given or number is None:
            return _reply(400, "say /wanted?goal=SECONDS&run-time=SECONDS, both above 0")
        given[name] = number
    found = wanted(given["goal"], given["run-time"])
    if found is None:
        return _reply(503, "Redis has not told how long the queues are")
    return _reply_bytes(200, json.dumps(found).encode("utf-8") + b"\n", "application/json")


def _seconds(text: str) -> float | None:
    """A time of a query; None if it is no number, or out of bounds."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0.0001 <= number <= _LONGEST_S else None


def _scraped(metrics: Callable[[str], Tuple[bytes, str]], accept: str) -> bytes:
    try:
        body, content_type = metrics(accept)
    except ImportError:
        return _reply(501, MISSING)
    return _reply_bytes(200, body, content_type)


def too_large() -> bytes:
    """The reply to a request whose head exceeds the limit."""
    return _reply(431, "the request is too large")


def _has_token(token: str, fields: list[str]) -> bool:
    """Whether the request carries the token, compared in constant time."""
    scheme, _, credentials = _field(fields, "authorization").partition(" ")
    given = credentials.strip().encode("latin-1")
    return scheme.lower() == "bearer" and hmac.compare_digest(given, token.encode("utf-8"))


def _field(fields: list[str], wanted: str) -> str:
    """The value of the first header field with this name; "" if there is none."""
    for line in fields:
        name, _, value = line.partition(":")
        if name.strip().lower() == wanted:
            return value.strip()
    return ""


def _reply(status: int, text: str, fields: str = "") -> bytes:
    return _reply_bytes(status, text.encode("utf-8") + b"\n", "text/plain; charset=utf-8", fields)


def _reply_bytes(status: int, body: bytes, content_type: str, fields: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n{fields}\r\n"
    )
    return head.encode("latin-1") + body
