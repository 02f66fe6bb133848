"""A relay that adds latency: it delays everything that is sent to the server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Iterator
from urllib.parse import urlsplit

from bizzmq.testing.ports import LOOPBACK


@contextlib.contextmanager
def slow_relay(upstream_url: str, delay_s: float) -> Iterator[str]:
    """The URL of a relay in front of a server. It delays each request by `delay_s` seconds."""
    upstream = urlsplit(upstream_url)
    sockets = [socket.create_server((LOOPBACK, 0))]

    def relay(source: socket.socket, target: socket.socket, pause_s: float) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                time.sleep(pause_s)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = sockets[0].accept()
                far = socket.create_connection((upstream.hostname or LOOPBACK, upstream.port or 6379))
                sockets.extend((near, far))
                for pair in ((near, far, delay_s), (far, near, 0.0)):
                    threading.Thread(target=relay, args=pair, daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"redis://{LOOPBACK}:{sockets[0].getsockname()[1]}/0"
    finally:
        sockets[0].shutdown(socket.SHUT_RDWR)
        acceptor.join()
        for one in sockets:
            one.close()
