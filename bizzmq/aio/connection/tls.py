"""TLS without a socket: what is received goes in, what has to be sent comes out."""

from __future__ import annotations

import ssl

_READ_BYTES = 65536


class TlsLayer:
    """Encrypts and decrypts one connection. All methods raise ssl.SSLError, which is an OSError.

    Args:
        host: the name that the server's certificate must be for.

    Attributes:
        is_ready: whether the negotiation is complete.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.is_ready = False

    def negotiate(self) -> None:
        """Take the next step of the negotiation. Afterwards `outgoing` has to be sent."""
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.is_ready = True

    def outgoing(self) -> bytes:
        """What has to be sent now, each byte once."""
        return self._outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        """The data as it is sent."""
        self._session.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """The content of received data; b"" while a record, or the negotiation, is incomplete."""
        self._incoming.write(data)
        if not self.is_ready:
            return b""
        parts = []
        try:
            while True:
                part = self._session.read(_READ_BYTES)
                if not part:
                    break  # the server has ended the session; the end of its data follows
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        return b"".join(parts)
