"""`MessageOptions(confirm=...)`: a publish that returns has reached replicas or the disk."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, BrokerUnavailableError, ConfigurationError, MessageOptions, NotConfirmedError, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.publisher import confirms
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.support.features import need_waitaof

PrivateServer = Callable[..., RedisServer]
REPLICA = MessageOptions(confirm="replicas:1")
DISK = MessageOptions(confirm="aof")
WRONG_LEVELS = ["replicas", "replicas:0", "replicas:-1", "replicas:x", "AOF", "disk", "replicas:1 "]


@pytest.fixture
def master(private_server: PrivateServer) -> RedisServer:
    return private_server(config=["repl-diskless-sync-delay 0"])


@pytest.fixture
def replica(master: RedisServer, private_server: PrivateServer) -> RedisServer:
    """A replica that has caught up."""
    server = private_server(config=[f"replicaof {master.host} {master.port}"])
    client = master.client()
    eventually(lambda: client.execute_command("WAIT", 1, 100) == 1, 20, "the replica to be online")
    return server


@pytest.fixture
def mq(master: RedisServer) -> Iterator[BizzMQ]:
    with BizzMQ(master.url) as client:
        client.create_queue("q")
        yield client


def _is_on(server: RedisServer, message: str) -> bool:
    return bool(server.client().hexists("bizzmq:{q}:messages", message))


def test_a_confirmed_message_survives_its_master(mq: BizzMQ, master: RedisServer, replica: RedisServer) -> None:
    for number in range(50):
        message = mq.publish_message_to_queue("q", number, REPLICA)
        assert _is_on(replica, message)

    master.kill()
    replica.client().execute_command("REPLICAOF", "NO", "ONE")
    with BizzMQ(replica.url) as successor:
        assert successor.stats("q").waiting == 50


def test_a_message_without_replica_in_time_is_stored_and_reported(
    mq: BizzMQ, master: RedisServer, replica: RedisServer
) -> None:
    replica.pause()

    with pytest.raises(NotConfirmedError, match="not confirmed by 1 replica: 0 confirmed in time") as late:
        mq.publish_messages_to_queue("q", [1, 2], REPLICA)

    assert len(late.value.message_ids) == 2
    assert all(_is_on(master, message) for message in late.value.message_ids)
    assert mq.stats("q").waiting == 2
    replica.resume()
    mq.publish_message_to_queue("q", 3, REPLICA)
    assert mq.stats("q").waiting == 3


def test_more_replicas_than_exist_never_confirm(mq: BizzMQ, replica: RedisServer) -> None:
    with pytest.raises(NotConfirmedError, match="2 replicas: 1 confirmed in time"):
        mq.publish_message_to_queue("q", 1, MessageOptions(confirm="replicas:2"))


def test_a_lost_reply_confirms_nothing_by_itself(master: RedisServer, replica: RedisServer) -> None:
    """WAIT on a new connection, on which nothing was written, would succeed even if no replica has the message."""
    with Proxy(master.url) as proxy, BizzMQ(proxy.url) as mq:
        mq.create_queue("q")
        mq.publish_message_to_queue("q", 0, REPLICA)
        replica.pause()
        proxy.swallow_next_reply()

        with pytest.raises(NotConfirmedError):
            mq.publish_message_to_queue("q", 1, REPLICA)

        replica.resume()
        assert mq.stats("q").waiting == 2, "it was duplicated"


def test_a_server_that_does_not_have_the_message_confirms_nothing(broker: Broker, redis: Redis) -> None:
    """For example after a failover to a replica that missed it: the publisher sends it again."""
    broker.create("q", QueueOptions())
    broker.publish("q", "nonce", 1, 0, 0, [b"m1", b"1\n1"])
    level = confirms.level_of("replicas:1")
    assert level is not None
    assert confirms.wait(broker, "q", "nonce", 1, level) == 0

    redis.delete(broker.keys("q").publisher("nonce"))

    with pytest.raises(BrokerUnavailableError, match="another server has taken over"):
        confirms.wait(broker, "q", "nonce", 1, level)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_a_message_confirmed_by_the_disk_survives_a_kill(private_server: PrivateServer, fsync: str) -> None:
    server = private_server(persistence="aof", fsync=fsync)
    need_waitaof(server.client())
    with BizzMQ(server.url) as mq:
        mq.create_queue("q")
        published = mq.publish_messages_to_queue("q", list(range(100)), DISK)
    server.kill()
    server.start()
    with BizzMQ(server.url) as mq:
        assert mq.stats("q").waiting == 100
    assert all(_is_on(server, message) for message in published)


def test_a_server_without_append_only_file_is_reported_before_anything_is_published(mq: BizzMQ) -> None:
    with pytest.raises(ConfigurationError, match=r"appendonly|newer"):
        mq.publish_message_to_queue("q", 1, DISK)

    assert mq.stats("q").published == 0


@pytest.mark.parametrize("wrong", [*WRONG_LEVELS, None, 1, 0, True, b"aof", ["aof"]], ids=repr)
def test_an_invalid_level_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="confirm must be"):
        MessageOptions(confirm=wrong)
