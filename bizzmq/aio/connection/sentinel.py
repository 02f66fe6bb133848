"""A connection of an event loop to the server that Redis Sentinel names as the master."""

from __future__ import annotations

from typing import Any, Tuple

from bizzmq.aio.connection.base import AsyncConnection
from bizzmq.aio.connection.wire import Wire
from bizzmq.connection import group_url
from bizzmq.connection.error_mapping import TROUBLE, translate_opening
from bizzmq.connection.group_url import Node
from bizzmq.connection.resp_socket import pack
from bizzmq.connection.sentinel import SENTINEL_S, MasterSearch, check_role
from bizzmq.connection.url import check_url
from bizzmq.errors import BizzMQError


class AsyncSentinelConnection(AsyncConnection):
    """As AsyncConnection. Each opening asks the sentinels for the master, and checks that it says it is the master.

    Args:
        url: `redis+sentinel://`, or `rediss+sentinel://` for TLS to sentinels and servers.
    """

    longest_block_s = 2.0  # a master that vanished without closing its connections is noticed only by its silence
    reply_s = 2.0

    def __init__(self, url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> None:
        self._group = group_url.parse(check_url(url))
        self._search = MasterSearch(self._group)
        self._master = self._group.nodes[0]
        super().__init__(self._group.server_url(self._master), timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        self.url = url

    async def _locate(self) -> Tuple[str, int]:
        self._master = await self._find_master()
        return self._master.host, self._master.port

    async def _greet(self, wire: Wire) -> None:
        try:
            reply = await wire.request(pack(("ROLE",)), self._connect_timeout_s)
        except TROUBLE as error:
            raise translate_opening(error) from error
        check_role(self._master, reply)

    async def _find_master(self) -> Node:
        """The master, as the first sentinel that answers names it. Raises as MasterSearch."""
        search = self._search
        for sentinel in search.begin():
            try:
                found = search.found(sentinel, await self._ask(sentinel))
            except BizzMQError as error:
                search.failed(sentinel, error)
            else:
                if found is not None:
                    return found
        raise search.failure()

    async def _ask(self, sentinel: Node) -> Any:
        url = self._group.sentinel_url(sentinel)
        connection = AsyncConnection(url, timeout_s=SENTINEL_S, connect_timeout_s=SENTINEL_S)
        try:
            return await connection.execute(*self._search.command)
        finally:
            connection.drop()
