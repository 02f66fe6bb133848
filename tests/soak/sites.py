"""The servers of a soak: Sentinel and Cluster, and the faults that can hit them."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Mapping, Sequence

from redis import Redis
from redis.exceptions import RedisError

from bizzmq.testing.layout import command
from bizzmq.testing.server import RedisServer
from bizzmq.testing.site import SERVER, SingleServer, facts_of
from bizzmq.testing.strike import Hit, Kind, Reach
from bizzmq.testing.wait import eventually
from tests.support.cluster import Cluster
from tests.support.sentinels import SERVICE, SentinelGroup, replication

CONFIRM = "replicas:1"
"""Masters are killed here: only replicated messages are sure to survive."""

_PATIENCE_S = 60.0
_DOWN_MS = 2500
"""How long a server may be silent before a failover. With less, a busy machine fails over without any fault."""
_LAG_BYTES = 200_000
_ASK_AGAIN_S = 6.0
"""Servers abort a failover after 5 s if a link was cut at that moment, and only log that."""


FailedOver = Callable[[float], object]
"""Waits until another master has taken over; raises AssertionError after this number of seconds."""


class SeveralServers(ABC):
    """The common part of Sentinel and Cluster. Subclasses define how masters change."""

    servers: Sequence[RedisServer]

    def kinds(self) -> Mapping[str, Kind]:
        takes_over: dict[str, Any] = {"alone_in": SERVER, "is_outage": True, "counts_from_strike": True}
        kinds = [
            Kind("master-kill", self._kill_master, Reach.EVERYTHING, lasts_s=(0.0, 2.0), settles_s=3.0, **takes_over),
            Kind("failover", self._fail_over, Reach.EVERYTHING, settles_s=3.0, lasts_s=(0.0, 0.5), **takes_over),
            Kind("replica-stall", self._stall_replica, lasts_s=(0.5, 3.0), alone_in=SERVER, settles_s=2.0),
            Kind("cut", self._cut, weight=2, is_outage=True),
            Kind("script-flush", self._flush, weight=2),
        ]
        return {kind.name: kind for kind in kinds}

    def facts(self) -> tuple[int, float]:
        connections, megabytes = 0, 0.0
        for server in self._living():
            with suppress(RedisError), server.client(socket_timeout=0.5) as client:
                facts = facts_of(client)
                connections, megabytes = connections + facts[0], megabytes + facts[1]
        return connections, megabytes

    def calm(self) -> None:
        for server in self.servers:
            if not server.alive:
                server.start()
            server.resume()
        self._wait_replicates()

    def log(self) -> str:
        return "".join(f"--- server {server.port}\n{server.log()}" for server in self.servers)

    def _living(self) -> list[RedisServer]:
        return [server for server in self.servers if server.alive]

    def _each(self, *words: str) -> int:
        """Send a command to all servers; returns how many accepted it."""
        done = 0
        for server in self._living():
            with suppress(RedisError), server.client(socket_timeout=0.5) as client:
                command(client, *words)
                done += 1
        return done

    def _cut(self, _rng: random.Random) -> Hit:
        done = self._each("CLIENT", "KILL", "TYPE", "normal")
        return Hit(f"all connections of {done} servers" if done else "")

    def _flush(self, _rng: random.Random) -> Hit:
        done = self._each("SCRIPT", "FLUSH")
        return Hit(f"{done} servers" if done else "")

    def _kill_master(self, rng: random.Random) -> Hit:
        master, failed_over, queue = self._master(rng)
        master.kill()

        def heal() -> None:
            failed_over(_PATIENCE_S)  # otherwise it would return as the master, without its data
            master.start()
            self._wait_replicates()

        return Hit(str(master.port), heal, queue=queue)

    def _stall_replica(self, rng: random.Random) -> Hit:
        replica = self._replica(rng)
        replica.pause()

        def heal() -> None:
            replica.resume()
            self._wait_replicates()

        return Hit(str(replica.port), heal)

    @abstractmethod
    def _master(self, rng: random.Random) -> tuple[RedisServer, FailedOver, str]:
        """A master, a function that waits for its successor, and its queue; "" for all queues."""

    @abstractmethod
    def _replica(self, rng: random.Random) -> RedisServer:
        """A replica."""

    @abstractmethod
    def _fail_over(self, rng: random.Random) -> Hit:
        """Fail over to another master while the old one is alive."""

    def _wait_replicates(self) -> None:
        """Wait until every master has a replica that could take over and keeps up with the writes."""
        self._wait_online()
        eventually(lambda: all(map(_keeps_up, self._living())), _PATIENCE_S, "replicas that keep up", (RedisError,))

    @abstractmethod
    def _wait_online(self) -> None:
        """Wait until each master has a connected replica."""


def _fail_over_until_done(ask: Callable[[], object], failed_over: FailedOver) -> None:
    """Wait until another master has taken over; request the failover again until it has."""
    for _ in range(int(_PATIENCE_S / _ASK_AGAIN_S)):
        try:
            failed_over(_ASK_AGAIN_S)
            return
        except AssertionError:
            with suppress(RedisError):
                ask()
    failed_over(_ASK_AGAIN_S)


def _keeps_up(server: RedisServer) -> bool:
    """Whether a master's replica has all its data; after a full copy a replica is online before it has."""
    about = replication(server)
    if about["role"] != "master":
        return True
    acknowledged = int(about.get("slave0", {}).get("offset", 0))
    return acknowledged > 0 and int(about["master_repl_offset"]) - acknowledged < _LAG_BYTES


class SentinelSite(SeveralServers):
    """A master and a replica that three sentinels watch."""

    def __init__(self) -> None:
        self._watched = SentinelGroup()
        self.servers = self._watched.servers
        self.close = self._watched.close
        self.url = self._watched.url
        for sentinel in self._watched.sentinels:
            sentinel.ask("SENTINEL", "SET", SERVICE, "down-after-milliseconds", str(_DOWN_MS))

    def log(self) -> str:
        sentinels = self._watched.sentinels
        return super().log() + "".join(f"--- sentinel {sentinel.port}\n{sentinel.log()}" for sentinel in sentinels)

    def look(self, _queue: str) -> Redis:
        looking: Any = self._watched.look()
        return looking  # type: ignore[no-any-return]

    def _master(self, _rng: random.Random) -> tuple[RedisServer, FailedOver, str]:
        master = self._watched.master()
        return master, partial(self._watched.wait_failed_over, master), ""

    def _replica(self, _rng: random.Random) -> RedisServer:
        return self._watched.replica()

    def _fail_over(self, rng: random.Random) -> Hit:
        master, failed_over, _ = self._master(rng)

        def ask() -> None:
            if self._watched.master() is master:
                self._watched.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)

        try:
            ask()
        except RedisError:  # the sentinels have not finished the last failover
            return Hit()

        def heal() -> None:
            _fail_over_until_done(ask, failed_over)
            self._wait_replicates()

        return Hit(f"away from {master.port}", heal)

    def _wait_online(self) -> None:
        self._watched.wait_replicates(_PATIENCE_S)


class ClusterSite(SeveralServers):
    """Three masters with a replica each; there is a queue on each of them."""

    def __init__(self) -> None:
        self._cluster = Cluster()
        self.servers = self._cluster.servers
        self.close = self._cluster.close
        self.url = self._cluster.url
        self.queues = self._cluster.names_on_each_node("soak")
        self._each("CONFIG", "SET", "cluster-node-timeout", str(_DOWN_MS))

    def kinds(self) -> Mapping[str, Kind]:
        return {**super().kinds(), "slot-move": Kind("slot-move", self._move, alone_in=SERVER, settles_s=1.0)}

    def look(self, queue: str) -> Redis:
        looking: Any = self._cluster.at(queue)
        return looking  # type: ignore[no-any-return]

    def _master(self, rng: random.Random) -> tuple[RedisServer, FailedOver, str]:
        queue = rng.choice(self.queues)
        master = self._cluster.master_of(queue)
        return master, partial(self._cluster.wait_failed_over, queue, master), queue

    def _replica(self, rng: random.Random) -> RedisServer:
        return self._cluster.replica_of(self._master(rng)[0])

    def _fail_over(self, rng: random.Random) -> Hit:
        master, failed_over, queue = self._master(rng)
        replica = self._cluster.replica_of(master)

        def ask() -> None:
            with replica.client() as client:
                command(client, "CLUSTER", "FAILOVER")  # an error if it has become a master

        ask()

        def heal() -> None:
            _fail_over_until_done(ask, failed_over)
            self._wait_replicates()

        return Hit(f"away from {master.port}", heal, queue=queue)

    def _move(self, rng: random.Random) -> Hit:
        """Move a queue's slot with all its keys to another master."""
        queue = rng.choice(self.queues)
        source = self._cluster.master_of(queue)
        masters = {self._cluster.master_of(name).port for name in self.queues}
        others = [server for server in self._living() if server.port in masters and server is not source]
        if not others:
            return Hit()
        target = rng.choice(others)

        def moved() -> bool:
            self._cluster.move(queue, target)
            return True

        eventually(
            moved, _PATIENCE_S, f"{queue} to move", ignoring=(RedisError,)
        )  # a half-finished move must not remain
        return Hit(f"{queue} from {source.port} to {target.port}")

    def _wait_online(self) -> None:
        self._cluster.wait_replicates(_PATIENCE_S)


SITES: Mapping[str, Callable[[], Any]] = {"embedded": SingleServer, "sentinel": SentinelSite, "cluster": ClusterSite}
