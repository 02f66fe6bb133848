"""A Redis Cluster of three masters and three replicas: real servers that a test owns and can kill."""

from __future__ import annotations

import binascii
from contextlib import ExitStack
from typing import Any, Callable, Iterator

from redis.exceptions import RedisError

from bizzmq.testing.layout import command
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.support.sentinels import replication, start_server

MASTERS = 3
NODE_TIMEOUT_MS = 1000
SLOTS = 16384
_START_TIMEOUT_S = 60.0


class Cluster:
    """Three masters with a replica each; `servers[i + 3]` replicates `servers[i]` at the start.

    Parameters: `full_coverage` stops the whole cluster while any slot has no master, as is Redis's default; `password`
    protects all nodes and becomes part of the URL; `replicas=False` starts no replicas.
    """

    def __init__(self, *, full_coverage: bool = True, password: str | None = None, replicas: bool = True) -> None:
        self._stack = ExitStack()
        self._password = password
        self.servers: list[RedisServer] = []
        config = [
            "cluster-enabled yes",
            "cluster-config-file nodes.conf",
            f"cluster-node-timeout {NODE_TIMEOUT_MS}",
            "cluster-replica-validity-factor 0",
            f"cluster-require-full-coverage {'yes' if full_coverage else 'no'}",
            "repl-diskless-sync-delay 0",
            "repl-ping-replica-period 1",
            *([f'masterauth "{password}"'] if password else []),
        ]
        try:
            for _ in range(MASTERS * (2 if replicas else 1)):
                server = start_server(lambda: [*config, f"cluster-port {free_port()}"], password)
                self._stack.callback(server.close)
                self.servers.append(server)
            self._join()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        own = f":{self._password}@" if self._password else ""
        return f"redis+cluster://{own}" + ",".join(f"{LOOPBACK}:{server.port}" for server in self.servers[:MASTERS])

    def master_of(self, queue: str) -> RedisServer:
        """The server of this queue's slot, according to most of the living servers."""
        slot = slot_of(queue)
        votes = [owner for _, owner in self._owners(slot)]
        port = max(set(votes), key=votes.count)
        return next(server for server in self.servers if server.port == port)

    def home(self, queue: str) -> int:
        """The port of the master that served this queue's slot at the start."""
        return self.servers[slot_of(queue) * MASTERS // SLOTS].port

    def at(self, queue: str) -> Look:
        """A client of the queue's current master."""
        return Look(self, queue)

    def replica_of(self, master: RedisServer) -> RedisServer:
        """A replica of this server."""
        return next(
            server
            for server in self.servers
            if server.alive and server is not master and replication(server).get("master_port") == master.port
        )

    def names_on_each_node(self, stem: str = "q") -> list[str]:
        """Queue names, one for each original master."""
        found: dict[int, str] = {}
        for number in range(100):
            found.setdefault(slot_of(f"{stem}{number}") * MASTERS // SLOTS, f"{stem}{number}")
        return [found[index] for index in range(MASTERS)]

    def move(self, queue: str, target: RedisServer, between: Callable[[], object] = lambda: None) -> None:
        """Move the queue's slot with all its keys to another master, one key at a time; `between` runs before each."""
        slot, source = slot_of(queue), self.master_of(queue)
        with source.client() as at_source, target.client() as at_target:
            source_id, target_id = (str(command(one, "CLUSTER", "MYID")) for one in (at_source, at_target))
            command(at_target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            command(at_source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
            secret = ["AUTH", self._password] if self._password else []
            while True:
                between()
                keys = command(at_source, "CLUSTER", "GETKEYSINSLOT", slot, 1)
                if not keys:
                    break
                command(at_source, "MIGRATE", target.host, target.port, "", 0, 5000, *secret, "KEYS", *keys)
            for server in (target, source, *self.servers):
                if server.alive and replication(server)["role"] == "master":
                    with server.client() as client:
                        command(client, "CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def wait_failed_over(self, queue: str, old: RedisServer, timeout_s: float = _START_TIMEOUT_S) -> RedisServer:
        """Return the new master of the queue's slot once all living nodes but the old one agree on it."""
        slot = slot_of(queue)

        def agreed() -> RedisServer | None:
            owners = {owner for teller, owner in self._owners(slot) if teller is not old}
            states = [self._state(server) for server in self.servers if server.alive and server is not old]
            if len(owners) != 1 or owners == {old.port} or set(states) != {"ok"}:
                return None
            return next(server for server in self.servers if server.port in owners)

        return eventually(agreed, timeout_s, "a failover", ignoring=(RedisError,))  # type: ignore[return-value]

    def wait_replicates(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Return when all nodes agree on all slots, and each master has a replica that has caught up."""

        def calm() -> bool:
            masters = 0
            for server in self.servers:
                if self._state(server) != "ok":
                    return False
                about = replication(server)
                if about["role"] == "master" and int(about["connected_slaves"]) > 0:
                    masters += about["slave0"]["state"] == "online"
            return masters == MASTERS or len(self.servers) == MASTERS

        eventually(calm, timeout_s, "a calm cluster", ignoring=(RedisError,))

    def close(self) -> None:
        """Kill everything and remove its files. May be called twice."""
        self._stack.close()

    def _join(self) -> None:
        first = self.servers[0]
        with first.client() as client:
            bus_port = command(client, "CONFIG", "GET", "cluster-port")[1]
        for index, server in enumerate(self.servers):
            with server.client() as client:
                if index < MASTERS:
                    low, high = (SLOTS * part // MASTERS for part in (index, index + 1))
                    command(client, "CLUSTER", "ADDSLOTS", *range(low, high))
                command(client, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
                command(client, "CLUSTER", "MEET", first.host, first.port, bus_port)
        count = len(self.servers)
        for server in self.servers:
            eventually(lambda: self._known(server) == count, _START_TIMEOUT_S, "the nodes to meet")  # noqa: B023
        for master, replica in zip(self.servers, self.servers[MASTERS:]):
            with master.client() as at_master, replica.client() as at_replica:
                name = command(at_master, "CLUSTER", "MYID")
                eventually(
                    lambda: command(at_replica, "CLUSTER", "REPLICATE", name),  # noqa: B023
                    _START_TIMEOUT_S,
                    "a replica",
                    ignoring=(RedisError,),
                )
        self.wait_replicates()

    def _owners(self, slot: int) -> Iterator[tuple[RedisServer, int]]:
        """The port of a slot's master according to each living server: (server, port)."""
        for server in self.servers:
            if not server.alive:
                continue
            try:
                with server.client(socket_timeout=0.5, socket_connect_timeout=0.5) as client:
                    ranges = command(client, "CLUSTER", "SLOTS")
            except RedisError:
                continue
            yield from ((server, port) for port in _ports_in(ranges, slot))

    def _state(self, server: RedisServer) -> str:
        return str(self._info(server)["cluster_state"])

    def _known(self, server: RedisServer) -> int:
        return int(self._info(server)["cluster_known_nodes"])

    def _info(self, server: RedisServer) -> dict[str, str]:
        with server.client(socket_timeout=1.0) as client:
            text: str = command(client, "CLUSTER", "INFO")
        return dict(line.split(":", 1) for line in text.split())


class Look:
    """Acts as a Redis client for one queue: each command goes to the current master of its slot."""

    def __init__(self, cluster: Cluster, queue: str) -> None:
        self._cluster, self._queue = cluster, queue

    def execute_command(self, *words: Any) -> Any:
        with self._cluster.master_of(self._queue).client() as client:
            execute: Any = client.execute_command
            return execute(*words)


def slot_of(queue: str) -> int:
    """The slot of all keys of a queue."""
    return binascii.crc_hqx(queue.encode(), 0) % SLOTS


def _ports_in(ranges: Any, slot: int) -> Iterator[int]:
    """The port of a slot's master in a reply to CLUSTER SLOTS, in any form that redis-py gives it."""
    if isinstance(ranges, dict):
        for (first, last), about in ranges.items():
            if int(first) <= slot <= int(last):
                yield int(about["primary"][1])
        return
    for first, last, master, *_ in ranges:
        if int(first) <= slot <= int(last):
            yield int(master[1])
