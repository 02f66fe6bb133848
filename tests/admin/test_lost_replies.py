"""Redis executes an operator's request, and the reply is lost: the connection repeats it, and no count is wrong."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.broker import scripts
from bizzmq.testing.proxy import Proxy
from tests.scripts.containers import load_all

LATER = MessageOptions(delay_s=3600)


def publish(mq: BizzMQ) -> str:
    """Publish 250 messages that wait, and 120 delayed ones. Returns the id of one of these."""
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    mq.publish_messages_to_queue("q", range(250))
    return mq.publish_messages_to_queue("q", range(120), LATER)[0]


REQUESTS: Dict[str, Tuple[Callable[[BizzMQ, str], Any], Any, Dict[str, Tuple[int, ...]], str, int]] = {
    # what is requested, its result, which calls of which scripts lose their replies, which total counts what
    "purge": (lambda mq, _: mq.purge("q"), 370, {"purge": (3, 5), "delete": (1,)}, "purged", 370),
    "cancel all": (lambda mq, _: mq.cancel_all("q"), 370, {"cancel": (1, 4)}, "cancelled", 370),
    "cancel": (lambda mq, one: mq.cancel(one, "q"), True, {"cancel": (1,)}, "cancelled", 1),
    "delete": (lambda mq, one: mq.delete("q", one), True, {"delete_message": (1,)}, "purged", 1),
    "retry": (lambda mq, one: mq.retry(one, "q"), True, {"promote": (1,)}, "waiting", 251),
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_lost_replies_change_no_count(mq: BizzMQ, redis: Redis, proxy: Proxy, request_name: str) -> None:
    act, result, losses, total, counted = REQUESTS[request_name]
    one = publish(mq)
    load_all(redis)
    lost = [
        proxy.swallow_reply(nth, scripts.load(name).digest.encode()) for name, calls in losses.items() for nth in calls
    ]

    with BizzMQ(proxy.url) as other:
        other.stats("q")  # a failure of the first command on a connection is raised
        assert act(other, one) == result

    for fault in lost:
        fault.wait()
    assert getattr(mq.stats("q"), total) == counted


def test_a_lost_reply_to_the_deletion_of_a_queue_changes_no_count(mq: BizzMQ, redis: Redis, proxy: Proxy) -> None:
    publish(mq)
    load_all(redis)
    lost = proxy.swallow_reply(2, scripts.load("delete_queue").digest.encode())  # the first one only counts

    with BizzMQ(proxy.url) as other:
        assert other.delete_queue("q", with_messages=True) == 370

    lost.wait()
