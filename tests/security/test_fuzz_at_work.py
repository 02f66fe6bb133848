"""D9: data in Redis is input. Arbitrary data in the keys of one queue affects only that queue of a working pool.

With a publisher's permissions no message of another client is acked without a run, not even in this queue.
`BIZZMQ_FUZZ_SEED` repeats a run.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any, Callable, Iterator, List

import psutil
import pytest
from redis import Redis

from bizzmq import BizzMQ, BizzMQError, QueueOptions
from bizzmq.admin.stats import overview
from bizzmq.audit.audit import audit
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.doctor.examine import examine
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.load import repeated
from tests.faults.scene import PATIENCE_S
from tests.security.hostile import Attacker
from tests.security.roles import set_users, url_of

BAD, CLEAN = "bad", "clean"
WORK = {"do": "sleep", "sleep_s": 0.002}
ASIDE = f"the queue is set aside, it cannot be worked on queue={BAD}"


class FuzzRun:
    """A pool on two queues, publishers of both, and the attacker of one."""

    def __init__(self, server: RedisServer, ledger: Ledger, start_pool: Callable[..., Pool], rights: str) -> None:
        self.seed = int(os.environ.get("BIZZMQ_FUZZ_SEED", random.randrange(10**6)))
        print(f"BIZZMQ_FUZZ_SEED={self.seed}")  # noqa: T201 - for pytest's report
        self.random = random.Random(self.seed)
        self.url = server.url
        self.admin: Redis = server.client()
        self.ledger = ledger
        self.mq = BizzMQ(server.url)
        for queue in (BAD, CLEAN):
            self.mq.create_queue(queue, QueueOptions(config_dead_letter_queue=True, retry_backoff_s=0.0))
        self.pool = start_pool(server.url, queue=[BAD, CLEAN], args=["--lease=3", "--max-crashes=1000"])
        self.pool.wait_ready()
        self.janitor = self.pool.janitor_pid()
        self.published: dict[str, List[str]] = {BAD: [], CLEAN: []}
        url = server.url if rights == "all" else url_of(server, rights)
        self.attacker = Attacker(Redis.from_url(url, protocol=2), BAD, self.seed, lambda: self.published[BAD][-50:])

    def publish(self) -> None:
        for queue in self.published:
            try:
                self.published[queue] += self.mq.publish_messages_to_queue(queue, [WORK] * 3)
            except BizzMQError:
                assert queue == BAD, "the clean queue was refused"

    def kill_a_worker(self) -> None:
        workers = self.pool.worker_pids()
        if workers:
            try:
                psutil.Process(self.random.choice(workers)).kill()
            except psutil.NoSuchProcess:
                return

    def go_on(self, seconds: float) -> None:
        until_s, struck = time.monotonic() + seconds, 0
        next_kill_s, next_reload_s = 0.5, seconds / 2
        begun_s = time.monotonic()
        with repeated(self.publish, 0.02):
            while time.monotonic() < until_s:
                for _ in range(20):
                    self.attacker.strike()
                struck += 20
                now_s = time.monotonic() - begun_s
                if now_s >= next_kill_s:
                    next_kill_s = now_s + 0.7
                    self.kill_a_worker()
                if now_s >= next_reload_s:
                    next_reload_s = now_s + max(10.0, seconds)
                    self.pool.signal(signal.SIGHUP)
                time.sleep(0.01)

    def check_processes(self) -> None:
        """Check that no process has exited except those that the test ended."""
        log = self.pool.log()
        assert self.pool.exit_code is None, log
        assert self.pool.janitor_pid() == self.janitor, log
        own = [line for line in log.splitlines() if "worker died" in line and "SIGKILL" not in line]
        assert not own, own
        assert "cannot go on" not in log
        invariants.check_log(log)

    def check_clean(self) -> None:
        """Check that no message of the clean queue is lost or acked without a run."""
        ids = self.published[CLEAN]
        eventually(lambda: not set(ids) - self.ledger.handled(), 60.0, lambda: f"the clean queue; {self.pool.log()}")
        eventually(lambda: not command(self.admin, "HLEN", Keys(CLEAN).messages), PATIENCE_S, self.pool.log)

    def unrun(self) -> set[str]:
        """The messages of other clients in the attacked queue that neither ran nor are stored."""
        stored = {
            i.decode("latin-1")
            for name in (BAD, f"{BAD}_dlq")
            for i in command(self.raw(), "HKEYS", Keys(name).messages)
        }
        return set(self.published[BAD]) - stored - self.ledger.handled()

    def raw(self) -> Any:
        return Redis.from_url(self.url, protocol=2)

    def check_named(self) -> None:
        """Check that log, doctor and audit name a key of the wrong type, in the current state of the queue."""
        command(self.admin, "DEL", Keys(BAD).waiting)
        command(self.admin, "SET", Keys(BAD).waiting, "of the wrong type")
        eventually(lambda: ASIDE in self.pool.log(), PATIENCE_S, self.pool.log)
        broker = Broker(connect(self.url))
        try:
            assert any(f"queue {BAD} is set aside" in one.what for one in examine(broker))
            assert not audit(broker, BAD, 0.0).balanced
            rows = {row.queue: row.as_dict() for row in overview(broker)}
            assert ("error" in rows[BAD], "error" in rows[CLEAN]) == (True, False), rows
        finally:
            broker.connection.drop()

    def end(self) -> None:
        """Drain the pool while the attack continues."""
        with repeated(self.attacker.strike, 0.002):
            self.pool.signal(signal.SIGTERM)
            assert self.pool.wait(PATIENCE_S) == 0, self.pool.log()
        self.pool.assert_no_process_left()
        invariants.check_log(self.pool.log())


@pytest.fixture
def battle(
    private_server: Callable[..., RedisServer], ledger: Ledger, start_pool: Callable[..., Pool]
) -> Iterator[Callable[[str], FuzzRun]]:
    battles: List[FuzzRun] = []

    def begin(rights: str) -> FuzzRun:
        server = private_server()
        if rights != "all":
            set_users(server.client())
        battles.append(FuzzRun(server, ledger, start_pool, rights))
        return battles[-1]

    yield begin
    for one in battles:
        one.mq.close()


def fight(battle: FuzzRun, rights: str, seconds: float) -> None:
    battle.go_on(seconds)
    print(f"{battle.attacker.done} strikes, {battle.attacker.refused} refused")  # noqa: T201 - for pytest's report
    battle.check_processes()
    battle.check_clean()
    if rights == "publisher":
        eventually(lambda: not battle.unrun(), 30, lambda: f"acked unrun: {sorted(battle.unrun())[:10]}")
    battle.check_named()
    battle.check_processes()
    battle.end()


@pytest.mark.usually(1)
@pytest.mark.parametrize("rights", ["publisher", "all"])
def test_arbitrary_data_in_one_queue_affects_only_this_queue(battle: Callable[[str], FuzzRun], rights: str) -> None:
    fight(battle(rights), rights, 4.0)


@pytest.mark.soak
@pytest.mark.parametrize("rights", ["publisher", "all"])
def test_arbitrary_data_for_minutes_affects_only_its_queue(battle: Callable[[str], FuzzRun], rights: str) -> None:
    fight(battle(rights), rights, float(os.environ.get("BIZZMQ_FUZZ_SECONDS", "60")))
