"""The documented users of Redis, on a cluster and with sentinels: with the documented additions nothing is refused."""

from __future__ import annotations

import contextlib
import signal
from typing import Any, Callable, Sequence

import pytest

from bizzmq import BizzMQ, BizzMQError, MessageOptions, QueueOptions
from bizzmq.errors import BrokerRefusesError
from bizzmq.testing import invariants
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.security.roles import PASSWORD, also, refusals, set_users
from tests.support.cluster import Cluster
from tests.support.sentinels import SentinelGroup

WITH_DEAD_LETTERS = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0.01)


def as_user(url: str, role: str) -> str:
    return url.replace("://", f"://{role}:{PASSWORD}@", 1)


def refused(servers: Sequence[RedisServer]) -> list[str]:
    found = []
    for server in servers:
        with server.client() as admin:
            found += refusals(admin)
    return found


def prepare(servers: Sequence[RedisServer], words: Sequence[str]) -> None:
    for server in servers:
        with server.client() as admin:
            set_users(admin, also=words)


def work(
    url: Callable[[str], str], ledger: Ledger, pool_factory: Any, queues: Sequence[str], meanwhile: Callable[[], object]
) -> Pool:
    """Let every role do its work; the pool has drained when this returns."""
    with BizzMQ(url("creator")) as mq:
        for queue in queues:
            assert mq.create_queue(queue, WITH_DEAD_LETTERS)
    pool: Pool = pool_factory(url("worker"), queue=list(queues), url_in_env=True)
    handled: set[str] = set()
    with BizzMQ(url("publisher")) as mq:
        for queue in queues:
            handled |= set(mq.publish_messages_to_queue(queue, [{}, {"do": "os_exit", "times": 1}]))
            mq.publish_message_to_queue(queue, {"do": "raise"})
        meanwhile()
        for queue in queues:
            handled |= set(mq.publish_messages_to_queue(queue, [{}], MessageOptions(priority=1, delay_s=0.2)))
            eventually(lambda: mq.stats(queue).dead_lettered == 1, PATIENCE_S, pool.log)  # noqa: B023
        eventually(lambda: set(ledger.handled()) == handled, PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    invariants.check_log(pool.log(), tracebacks=2 * len(queues))
    return pool


def test_on_a_cluster_also_while_a_slot_moves(
    start_cluster: Callable[..., Cluster], ledger: Ledger, pool_factory: Any
) -> None:
    cluster = start_cluster(replicas=False)
    (words,) = also("Cluster")
    prepare(cluster.servers, words)
    first, second, third = cluster.names_on_each_node()

    work(
        lambda role: as_user(cluster.url, role), ledger, pool_factory, [first, second],
        lambda: cluster.move(first, cluster.master_of(second)),
    )  # fmt: skip
    # A cluster answers TRYAGAIN for some keys of a moving slot.
    with BizzMQ(as_user(cluster.url, "creator")) as mq, contextlib.suppress(BrokerRefusesError):
        cluster.move(third, cluster.master_of(second), lambda: mq.create_queue(third))

    assert refused(cluster.servers) == []


def test_with_sentinels_that_have_users_of_their_own(
    sentinel_group: SentinelGroup, ledger: Ledger, pool_factory: Any
) -> None:
    words, of_sentinels = also("Sentinel")
    prepare(sentinel_group.servers, words)
    for sentinel in sentinel_group.sentinels:
        sentinel.ask("ACL", "SETUSER", "looker", "on", f">{PASSWORD}", *of_sentinels)
    extra = f"?sentinel_username=looker&sentinel_password={PASSWORD}"

    work(lambda role: as_user(sentinel_group.url, role) + extra, ledger, pool_factory, ["q"], lambda: None)

    assert refused(sentinel_group.servers) == []
    assert [entry for sentinel in sentinel_group.sentinels for entry in sentinel.ask("ACL", "LOG")] == []


@pytest.mark.parametrize("left_out", ["+asking", "+cluster|slots"])
def test_each_permission_of_the_row_is_needed(start_cluster: Callable[..., Cluster], left_out: str) -> None:
    cluster = start_cluster(replicas=False)
    (words,) = also("Cluster")
    prepare(cluster.servers, [word for word in words if word != left_out])
    queue = cluster.names_on_each_node()[0]
    target = next(server for server in cluster.servers if server is not cluster.master_of(queue))

    with BizzMQ(as_user(cluster.url, "creator")) as mq, contextlib.suppress(BizzMQError):
        cluster.move(
            queue, target, lambda: mq.create_queue(queue)
        )  # no key is there yet: the request goes to the new master

    assert any(f"creator: {left_out[1:]} " in entry for entry in refused(cluster.servers))
