"""The servers under test: the interface that the engine uses, and one server behind a faulty network."""

from __future__ import annotations

import random
from typing import Any, Mapping, Protocol

from redis import Redis
from redis.exceptions import RedisError

from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.strike import Hit, Kind

SERVER = "server"
"""The group of faults that stop servers: they have to be back before the next fault of this group."""


class Site(Protocol):
    """Real servers, and the faults that can hit them."""

    @property
    def url(self) -> str:
        """The URL for pools and publishers."""

    def kinds(self) -> Mapping[str, Kind]:
        """The kinds of fault that can hit the servers."""

    def look(self, queue: str) -> Redis:
        """A client of the server that has this queue; it bypasses all faults of the network."""

    def calm(self) -> None:
        """Return when the servers are as they were at the start."""

    def facts(self) -> tuple[int, float]:
        """The number of client connections to all servers, and the memory of the servers in megabytes."""

    def log(self) -> str:
        """The logs of all servers."""

    def close(self) -> None:
        """End all servers; may be called twice."""


class SingleServer:
    """One server with an append-only file that is flushed at each write: confirmed writes survive its death.

    With `persistence="none"` they do not.
    """

    def __init__(self, persistence: str = "aof") -> None:
        self.server = RedisServer(persistence)
        self.network = Proxy(self.server.url)
        self._client, self._hasty = self.server.client(), self.server.client(socket_timeout=0.3)

    @property
    def url(self) -> str:
        return self.network.url

    def kinds(self) -> Mapping[str, Kind]:
        kinds = [
            Kind("redis-kill", self._kill, lasts_s=(0.0, 1.5), alone_in=SERVER, is_outage=True),
            Kind("redis-stall", self._stall, lasts_s=(0.2, 2.0), alone_in=SERVER, is_outage=True),
            Kind("cut", self._cut, weight=2, is_outage=True),
            Kind("lose-reply", self._lose_reply, weight=3),
            Kind("script-flush", self._flush, weight=2),
        ]
        return {kind.name: kind for kind in kinds}

    def look(self, _queue: str) -> Redis:
        return self._client

    def calm(self) -> None:
        if not self.server.alive:
            self.server.start()
        self.server.resume()
        self.server.wait_ready()

    def facts(self) -> tuple[int, float]:
        return facts_of(self._hasty)

    def log(self) -> str:
        return self.server.log()

    def close(self) -> None:
        self.network.close()
        self.server.close()

    def _kill(self, _rng: random.Random) -> Hit:
        self.server.kill()
        return Hit(str(self.server.pid), self.server.start)

    def _stall(self, _rng: random.Random) -> Hit:
        self.server.pause()
        return Hit(str(self.server.pid), self.server.resume)

    def _cut(self, _rng: random.Random) -> Hit:
        about = f"{self.network.open_connections} connections"
        self.network.cut()
        return Hit(about)

    def _lose_reply(self, rng: random.Random) -> Hit:
        nth = rng.randint(1, 5)
        self.network.swallow_reply(nth)
        return Hit(f"number {nth} from now on")

    def _flush(self, _rng: random.Random) -> Hit:
        try:
            self._hasty.script_flush()
        except RedisError:
            return Hit()
        return Hit(SERVER)


def facts_of(client: Redis) -> tuple[int, float]:
    """The number of connections to one server, and its memory in megabytes."""
    facts: Any = {**client.info("clients"), **client.info("memory")}
    return int(facts["connected_clients"]), float(facts["used_memory"]) / 1e6
