"""HTTP for probes: /live while the supervisor's loop turns, /ready while the pool can handle messages."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from typing import Callable

from bizzmq.errors import ConfigurationError

_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
    431: "Request Header Fields Too Large", 503: "Service Unavailable",
}  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to that address.

    Raises:
        ConfigurationError: it is no address. Names are not looked up, except `localhost`.
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigurationError(f"the health host must be an IP address or localhost, not {host!r}") from None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=16)
    except OSError as error:
        raise ConfigurationError(f"the health port {host}:{port} cannot be had: {error.strerror}") from error


def answer_with(token: str, why_not_ready: Callable[[], str]) -> Callable[[bytes], bytes | None]:
    """Replies for a StreamServer.

    Args:
        token: what clients have to send as `Authorization: Bearer TOKEN`; "" if nothing.
        why_not_ready: one line, or "" if the pool is ready.
    """

    def answer(request: bytes) -> bytes | None:
        head, end, _ = request.replace(b"\r\n", b"\n").partition(b"\n\n")
        if not end:
            return None
        first, *fields = head.decode("latin-1").split("\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _reply(400, "not HTTP/1.1")
        if token and not _knows(token, fields):
            return _reply(401, "a token is needed", "WWW-Authenticate: Bearer\r\n")
        if words[0] != "GET":
            return _reply(405, "GET only", "Allow: GET\r\n")
        path = words[1].partition("?")[0]
        if path == "/live":
            return _reply(200, "ok")
        if path == "/ready":
            why_not = why_not_ready()
            return _reply(503 if why_not else 200, why_not or "ok")
        return _reply(404, "there are /live and /ready")

    return answer


def too_large() -> bytes:
    """The reply to a request whose head is longer than what is read of one."""
    return _reply(431, "the request is too large")


def _knows(token: str, fields: list[str]) -> bool:
    """Whether the request carries the token; how long that takes does not depend on how much of it is right."""
    for line in fields:
        name, _, value = line.partition(":")
        if name.strip().lower() == "authorization":
            scheme, _, credentials = value.strip().partition(" ")
            given = credentials.strip().encode("latin-1")
            return scheme.lower() == "bearer" and hmac.compare_digest(given, token.encode("utf-8"))
    return False


def _reply(status: int, text: str, fields: str = "") -> bytes:
    body = text.encode("utf-8") + b"\n"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n{fields}\r\n"
    )
    return head.encode("latin-1") + body
