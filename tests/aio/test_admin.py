"""What AsyncBizzMQ does with queues and stored messages is what BizzMQ does."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import (
    AsyncBizzMQ,
    BizzMQ,
    ConfigurationError,
    MessageOptions,
    QueueInUseError,
    QueueNotFoundError,
    QueueOptions,
    QueueSummary,
)
from tests.aio.conftest import Run
from tests.scripts.containers import everything, lasting

OPTIONS = QueueOptions(config_dead_letter_queue=True, max_retries=0, shards=2)

Call = Callable[[Any], Any]
READS: dict[str, Call] = {
    "stats": lambda mq: mq.stats("q"),
    "stats of the dead letters": lambda mq: mq.stats("q_dlq"),
    "queues": lambda mq: mq.queues(),
    "show": lambda mq: mq.show_queue("q"),
    "messages": lambda mq: mq.messages("q", limit=3),
    "delayed": lambda mq: mq.messages("q", "delayed"),
    "dead letters": lambda mq: mq.dead_letters("q"),
    "dead letters of a type": lambda mq: mq.dead_letters("q", error_type="LookupError", limit=2),
    "groups": lambda mq: mq.dead_letter_groups("q", older_than_s=0),
    "newest of a filter": lambda mq: mq.messages("q", error="x", older_s=0.001, newest_first=True),
    "pools": lambda mq: mq.pools("q"),
    "explain nothing": lambda mq: mq.explain("nothing"),
    "the output of nothing": lambda mq: mq.output("nothing", "q"),
    "the history of nothing": lambda mq: mq.history("nothing", "q"),
    "find nothing": lambda mq: mq.find("0" * 13 + "a" * 7),
}
CHANGES: dict[str, Call] = {
    "update": lambda mq: mq.update_queue("q", {"max_retries": 9}),
    "purge": lambda mq: mq.purge("q"),
    "delete the queue": lambda mq: mq.delete_queue("q", with_messages=True),
    "replay all": lambda mq: mq.replay("q"),
    "replay some": lambda mq: mq.replay("q", error_type="LookupError", rate=1000),
}
REFUSED: dict[str, Call] = {
    "update": lambda mq: mq.update_queue("q", {"shards": 3}),
    "update nothing": lambda mq: mq.update_queue("nowhere", {"max_retries": 1}),
    "show": lambda mq: mq.show_queue("nowhere"),
    "delete no queue": lambda mq: mq.delete_queue("nowhere"),
    "delete with a text": lambda mq: mq.delete_queue("q", with_messages="yes"),
    "a state": lambda mq: mq.messages("q", "somewhere"),
    "an id": lambda mq: mq.find(7),
    "a name": lambda mq: mq.purge(None),
    "no queue to purge": lambda mq: mq.purge("nowhere"),
    "no queue to delete from": lambda mq: mq.delete("nowhere", "x"),
    "no queue to replay": lambda mq: mq.replay("nowhere"),
    "no consent": lambda mq: mq.delete_queue("q", with_messages="yes"),
    "a limit": lambda mq: mq.dead_letters("q", limit=0),
}


def fail(_body: Any) -> None:
    raise LookupError


@pytest.fixture
def filled(mq: BizzMQ) -> list[str]:
    """Ids of waiting messages of a queue that also has delayed messages and dead letters."""
    mq.create_queue("q", OPTIONS)
    mq.publish_messages_to_queue("q", range(3))
    mq.consume_until_empty("q", fail)
    mq.publish_messages_to_queue("q", [1, 2], MessageOptions(delay_s=3600))
    return mq.publish_messages_to_queue("q", range(250))


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (ConfigurationError, QueueNotFoundError) as error:
        return type(error), str(error)


async def with_client(url: str, call: Call) -> Any:
    async with AsyncBizzMQ(url) as amq:
        return await call(amq)


def _timeless(found: Any) -> Any:
    """What two reads have in common: ages and rates differ by the time between them."""
    if isinstance(found, list):
        return [replace(one, activity=None) if isinstance(one, QueueSummary) else one for one in found]
    return found


@pytest.mark.parametrize("name", READS)
def test_both_clients_read_the_same(run: Run, mq: BizzMQ, url: str, filled: list[str], name: str) -> None:
    assert _timeless(run(with_client(url, READS[name]))) == _timeless(READS[name](mq))


@pytest.mark.parametrize("name", REFUSED)
def test_both_clients_refuse_the_same(run: Run, mq: BizzMQ, url: str, redis: Redis, name: str) -> None:
    mq.create_queue("q")
    before = everything(redis)

    def call() -> Any:
        return run(with_client(url, REFUSED[name]))

    assert outcome(call) == outcome(lambda: REFUSED[name](mq))
    assert isinstance(outcome(call), tuple)
    assert everything(redis) == before


@pytest.mark.parametrize("name", CHANGES)
def test_both_clients_change_the_same(
    run: Run, mq: BizzMQ, url: str, redis: Redis, filled: list[str], name: str
) -> None:
    dumps = {key: redis.dump(key) for key in redis.scan_iter()}

    changed = run(with_client(url, CHANGES[name]))

    after = without_nonces(everything(redis))
    redis.flushall()
    for key, dump in dumps.items():
        redis.restore(key, 0, dump)
    assert changed == CHANGES[name](mq)
    assert without_nonces(everything(redis)) == after


def without_nonces(stored: dict[str, Any]) -> dict[str, Any]:
    """The same with one name for each note of a reply, without the digest of the call."""
    return {
        re.sub(r":reply:\w+$", ":reply:NONCE", key): re.sub(r"^\w{40}", "", value) if ":reply:" in key else value
        for key, value in stored.items()
    }


def test_a_message_is_found_and_deleted(run: Run, mq: BizzMQ, url: str, filled: list[str]) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            found = await amq.find(filled[7])
            assert found == mq.find(filled[7])
            assert await amq.delete("q", filled[7]) is True
            assert await amq.delete("q", filled[7]) is False
            assert await amq.find(filled[7], "q") is None

    run(main())
    assert mq.stats("q").unaccounted == 0


def test_a_dead_letter_is_replayed_edited_once(run: Run, mq: BizzMQ, url: str, filled: list[str]) -> None:
    letter = mq.dead_letters("q").messages[0].id

    async def main() -> list[int]:
        async with AsyncBizzMQ(url) as amq:
            again = [amq.replay("q", letter, body=[number], options={"priority": 1}) for number in range(3)]
            return await asyncio.gather(*again)

    assert sorted(run(main())) == [0, 0, 1]
    found = mq.find(letter)
    assert found is not None
    assert (found.state, found.priority) == ("waiting", 1)
    assert found.body in ([0], [1], [2])


def test_pages_of_both_clients_continue_each_other(run: Run, mq: BizzMQ, url: str, filled: list[str]) -> None:
    async def main() -> list[str]:
        ids, after = [], None
        async with AsyncBizzMQ(url) as amq:
            while True:
                page = await amq.messages("q", limit=40, after=after)
                ids += [one.id for one in page.messages]
                if page.next is None:
                    return ids
                after = page.next
                second = mq.messages("q", limit=40, after=after)
                ids += [one.id for one in second.messages]
                if second.next is None:
                    return ids
                after = second.next

    assert sorted(run(main())) == sorted(filled)


def test_a_cancelled_purge_can_be_repeated(run: Run, mq: BizzMQ, url: str, filled: list[str]) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url, max_connections=1) as amq:
            for steps in range(0, 40, 3):
                purging = asyncio.ensure_future(amq.purge("q"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                purging.cancel()
                await asyncio.wait({purging})
            await amq.purge("q")
            stats = await amq.stats("q")
            assert (stats.waiting, stats.delayed, stats.unaccounted, stats.purged) == (0, 0, 0, 252)

    run(main())


def test_a_queue_is_deleted_with_consent(run: Run, mq: BizzMQ, url: str, redis: Redis, filled: list[str]) -> None:
    with pytest.raises(QueueInUseError, match="3 dead letters"):
        run(with_client(url, lambda amq: amq.delete_queue("q")))
    assert mq.stats("q").waiting == len(filled)

    assert run(with_client(url, lambda amq: amq.delete_queue("q", with_messages=True))) == len(filled) + 5

    assert mq.queues() == []
    assert lasting(redis) == set()
