"""A client finds its server like the commands do. After `close` every use raises, and closing again is harmless."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, BizzMQError, ClosedError, ConfigurationError
from bizzmq.connection.url import check_url
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.utils import server_url
from tests.support.recording_handler import RecordingHandler

USES: dict[str, Callable[[BizzMQ], Any]] = {
    "create": lambda mq: mq.create_queue("other"),
    "publish": lambda mq: mq.publish_message_to_queue("q", 1),
    "publish many": lambda mq: mq.publish_messages_to_queue("q", [1]),
    "publish none": lambda mq: mq.publish_messages_to_queue("q", []),
    "consume": lambda mq: mq.consume_message_from_queue("q", print),
    "stats": lambda mq: mq.stats("q"),
    "with": BizzMQ.__enter__,
}
AWAY = "redis://127.0.0.1:1/0"
VARIABLES = ("BIZZMQ_REDIS_URL", "BIZZMQ_REDIS_URL_FILE", "REDIS_URL")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def connections(redis: Redis) -> int:
    return len(redis.client_list())


@pytest.mark.parametrize("use", USES)
def test_every_use_after_close_raises_closed_error(url: str, redis: Redis, use: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q")
    before = connections(redis)

    with pytest.raises(ClosedError, match="closed; make a new one") as raised:
        USES[use](mq)

    assert isinstance(raised.value, BizzMQError)
    assert not isinstance(raised.value, ConnectionError)  # a retry would be pointless
    assert connections(redis) <= before  # the server may learn of an earlier close only now
    assert redis.hget("bizzmq:{q}:stats", "published") is None
    assert repr(mq).startswith("BizzMQ(")


def test_closing_and_stopping_again_are_harmless(mq: BizzMQ, queue: str) -> None:
    stop = mq.consume_message_from_queue("q", RecordingHandler())
    mq.close()

    for end in (stop, mq.close, stop, mq.close):
        end()
    with pytest.raises(ClosedError):
        mq.stats("q")


def consumers() -> int:
    gc.collect()
    return sum(isinstance(one, InProcessConsumer) for one in gc.get_objects())


def test_a_stopped_consumer_is_released(mq: BizzMQ, queue: str) -> None:
    before = consumers()  # a test that has failed keeps its own
    for _ in range(3):
        stop = mq.consume_message_from_queue(queue, print)
        stop()
    del stop

    mq.consume_message_from_queue(queue, print)

    assert consumers() <= before + 1


def test_a_client_that_never_opened_is_closed_as_well(url: str) -> None:
    with pytest.raises(BizzMQError):
        BizzMQ(AWAY)
    mq = BizzMQ(url)
    mq.close()
    mq.close()


def test_a_with_inside_a_with_ends_both(url: str) -> None:
    with BizzMQ(url) as mq:
        with mq:
            mq.create_queue("q")
        with pytest.raises(ClosedError):
            mq.stats("q")
    with pytest.raises(ClosedError), mq:
        pytest.fail("it was entered")


def test_a_running_handler_may_use_the_client_that_is_being_closed(mq: BizzMQ, queue: str, url: str) -> None:
    begun, closing, ids = threading.Event(), threading.Event(), []

    def handler(body: Any) -> None:
        begun.set()
        assert closing.wait(20)
        ids.append(mq.publish_message_to_queue("q", "from the handler") if body == "first" else "")

    mq.publish_message_to_queue("q", "first")
    stop = mq.consume_message_from_queue("q", handler)
    assert begun.wait(20)
    closer = threading.Thread(target=mq.close)
    closer.start()
    closing.set()
    closer.join(20)

    stop()
    assert len(ids[0]) == 20
    with BizzMQ(url) as other:
        assert other.stats("q").waiting == 1


def test_a_handler_may_close_its_own_client(mq: BizzMQ, queue: str, url: str) -> None:
    closed = threading.Event()

    def handler(_body: Any) -> None:
        mq.close()
        closed.set()

    mq.consume_message_from_queue("q", handler)
    with BizzMQ(url) as other:
        other.publish_message_to_queue("q", 1)

    assert closed.wait(20)
    with pytest.raises(ClosedError):
        mq.stats("q")


def test_closing_in_another_thread_ends_every_call_in_order(url: str, redis: Redis) -> None:
    """Each call either succeeds or raises ClosedError, and no connection is left."""
    before = connections(redis)
    mq = BizzMQ(url)
    mq.create_queue("q")
    ids: list[str] = []
    others: list[BaseException] = []
    begun = threading.Barrier(5)

    def publish() -> None:
        begun.wait()
        try:
            while True:
                ids.append(mq.publish_message_to_queue("q", 1))
        except ClosedError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is what the test looks for
            others.append(error)

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    eventually(lambda: len(ids) > 100)
    mq.close()
    for thread in threads:
        thread.join(20)

    assert others == []
    assert sorted(redis.lrange("bizzmq:{q}:waiting", 0, -1)) == sorted(ids)
    eventually(lambda: connections(redis) <= before, what="the end of all connections")


def test_a_fork_uses_and_closes_its_own_and_leaves_the_parents_alone(mq: BizzMQ, queue: str, redis: Redis) -> None:
    seen = RecordingHandler()
    stop = mq.consume_message_from_queue("q", seen)
    mq.publish_message_to_queue("q", "before")
    seen.wait(1)

    child = os.fork()
    if child == 0:
        code = 1
        try:
            mq.publish_message_to_queue("q", "child")
            stop()
            mq.close()
            try:
                mq.stats("q")
            except ClosedError:
                code = 0
        finally:
            os._exit(code)

    assert os.waitpid(child, 0)[1] == 0
    mq.publish_message_to_queue("q", "after")
    assert set(seen.wait(3)) == {"before", "child", "after"}
    assert mq.stats("q").published == 3


def test_a_fork_that_exits_normally_waits_for_no_consumer(url: str, queue: str) -> None:
    program = f"""if True:
        import os, sys
        from bizzmq import BizzMQ
        mq = BizzMQ({url!r})
        mq.consume_message_from_queue("q", print)
        child = os.fork()
        if child == 0:
            sys.exit(0)
        print(os.waitpid(child, 0)[1], mq.stats("q").published)
        """
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, b"0 0\n")


def test_the_environment_names_the_server_in_one_order(
    monkeypatch: pytest.MonkeyPatch, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text("redis://from-file:1/0\n")
    file.chmod(0o600)
    assert server_url.from_environment() == "redis://localhost:6379/0"
    for name, value in zip(VARIABLES[::-1], ("redis://common:1/0", str(file), "redis://own:1/0")):
        monkeypatch.setenv(name, value)
        expected = "redis://from-file:1/0" if name.endswith("FILE") else value
        assert server_url.from_environment() == expected
    monkeypatch.setenv("BIZZMQ_REDIS_URL", url)
    with BizzMQ() as mq:
        assert mq.create_queue("q")

    monkeypatch.setenv("BIZZMQ_REDIS_URL", "")  # counts as not set
    assert server_url.from_environment() == "redis://from-file:1/0"
    monkeypatch.setenv("BIZZMQ_REDIS_URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        BizzMQ()


def test_a_given_address_overrides_the_environment(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BIZZMQ_REDIS_URL", AWAY)
    with BizzMQ(url) as mq:
        assert mq.create_queue("q")
    for empty in ("", None):
        with pytest.raises(ConfigurationError):
            BizzMQ(empty)  # type: ignore[arg-type]


@pytest.mark.parametrize("preload", ["on", "off"])
def test_in_a_pool_it_is_the_pools_server(
    pool_factory: Callable[..., Pool], mq: BizzMQ, queue: str, redis: Redis, url: str, tmp_path: Path, preload: str
) -> None:
    (tmp_path / "finds_it.py").write_text(
        "from bizzmq import BizzMQ\nwith BizzMQ() as mq:\n    mq.create_queue('found-at-import')\n"
        "def handler(message):\n    with BizzMQ() as own:\n        own.create_queue('found-in-handler')\n"
    )
    pool = pool_factory(
        url, queue="q", handler="finds_it:handler", concurrency=1, cwd=tmp_path, args=[f"--preload={preload}"],
        env={"REDIS_URL": AWAY},
    )  # fmt: skip

    mq.publish_message_to_queue("q", 1)

    eventually(lambda: redis.sismember("bizzmq:queues", "found-in-handler"), 20.0, pool.log)
    assert redis.sismember("bizzmq:queues", "found-at-import")
    pool.signal(15)
    assert pool.wait() == 0


@pytest.mark.parametrize(
    "address",
    [
        "redis://h:0", "rediss://h:0/1", "redis://h:00000", "redis://:pw@[::1]:0/0", "redis://h:65536", "redis://h:-1",
        "redis+sentinel://h:0/s", "redis+sentinel://h:1,g:0/s", "redis+sentinel://h:65536/s", "redis+cluster://h:0",
        "redis+cluster://h:1,g:70000", "rediss+cluster://[::1]:0", "redis://h:99999999999999999999",
    ],
)  # fmt: skip
def test_an_invalid_port_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="bad Redis URL"):
        check_url(address)
    with pytest.raises(ConfigurationError):
        BizzMQ(address)


@pytest.mark.parametrize("address", ["redis://h:1", "redis://h:65535/0", "redis://h", "redis+cluster://h:65535"])
def test_a_valid_port_is_accepted(address: str) -> None:
    assert check_url(address) == address
