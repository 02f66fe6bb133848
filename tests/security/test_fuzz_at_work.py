"""D9: what is in Redis is input. Anything at all in one queue's keys, under a pool at work, is that queue's trouble.

With a publisher's rights nothing of others is acked unrun, in this queue either. `BIZZMQ_FUZZ_SEED` repeats a run.
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
from bizzmq.audit import audit
from bizzmq.broker import Broker
from bizzmq.census import overview
from bizzmq.connections import connect
from bizzmq.doctor import examine
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


class Battle:
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
        """Nobody has left but by our hand."""
        log = self.pool.log()
        assert self.pool.exit_code is None, log
        assert self.pool.janitor_pid() == self.janitor, log
        own = [line for line in log.splitlines() if "worker died" in line and "SIGKILL" not in line]
        assert not own, own
        assert "cannot go on" not in log
        invariants.check_log(log)

    def check_clean(self) -> None:
        """Nothing of the clean queue is lost, and nothing acked that has not run."""
        ids = self.published[CLEAN]
        eventually(lambda: not set(ids) - self.ledger.handled(), 60.0, lambda: f"the clean queue; {self.pool.log()}")
        eventually(lambda: not command(self.admin, "HLEN", Keys(CLEAN).messages), PATIENCE_S, self.pool.log)

    def unrun(self) -> set[str]:
        """What others have published into the attacked queue that has neither run nor is stored."""
        stored = {
            i.decode("latin-1")
            for name in (BAD, f"{BAD}_dlq")
            for i in command(self.raw(), "HKEYS", Keys(name).messages)
        }
        return set(self.published[BAD]) - stored - self.ledger.handled()

    def raw(self) -> Any:
        return Redis.from_url(self.url, protocol=2)

    def check_named(self) -> None:
        """However it stands by now, a key of a wrong type is named by log, doctor and audit."""
        command(self.admin, "DEL", Keys(BAD).waiting)
        command(self.admin, "SET", Keys(BAD).waiting, "of the wrong type")
        eventually(lambda: ASIDE in self.pool.log(), PATIENCE_S, self.pool.log)
        broker = Broker(connect(self.url))
        try:
            assert any(f"queue {BAD} is set aside" in one.what for one in examine(broker))
            assert not audit(broker, BAD, 0.0).balanced
            rows = {row["queue"]: row for row in overview(broker)}
            assert ("error" in rows[BAD], "error" in rows[CLEAN]) == (True, False), rows
        finally:
            broker.connection.drop()

    def end(self) -> None:
        """A drain, with the attack still going on."""
        with repeated(self.attacker.strike, 0.002):
            self.pool.signal(signal.SIGTERM)
            assert self.pool.wait(PATIENCE_S) == 0, self.pool.log()
        self.pool.assert_no_process_left()
        invariants.check_log(self.pool.log())


@pytest.fixture
def battle(
    private_server: Callable[..., RedisServer], ledger: Ledger, start_pool: Callable[..., Pool]
) -> Iterator[Callable[[str], Battle]]:
    battles: List[Battle] = []

    def begin(rights: str) -> Battle:
        server = private_server()
        if rights != "all":
            set_users(server.client())
        battles.append(Battle(server, ledger, start_pool, rights))
        return battles[-1]

    yield begin
    for one in battles:
        one.mq.close()


def fight(battle: Battle, rights: str, seconds: float) -> None:
    battle.go_on(seconds)
    print(f"{battle.attacker.done} strikes, {battle.attacker.refused} refused")  # noqa: T201 - for pytest's report
    battle.check_processes()
    battle.check_clean()
    if rights == "publisher":
        eventually(lambda: not battle.unrun(), 5.0, lambda: f"acked unrun: {sorted(battle.unrun())[:10]}")
    battle.check_named()
    battle.check_processes()
    battle.end()


@pytest.mark.parametrize("rights", ["publisher", "all"])
def test_anything_at_all_in_one_queue_is_this_queues_trouble(battle: Callable[[str], Battle], rights: str) -> None:
    fight(battle(rights), rights, 4.0)


@pytest.mark.soak
@pytest.mark.parametrize("rights", ["publisher", "all"])
def test_anything_at_all_for_minutes(battle: Callable[[str], Battle], rights: str) -> None:
    fight(battle(rights), rights, float(os.environ.get("BIZZMQ_FUZZ_SECONDS", "60")))
