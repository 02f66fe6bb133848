"""The engine of `bizzmq torture` and the soak test: load, random faults from a seed, rest, and the balance."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Mapping

from redis.exceptions import RedisError

from bizzmq.errors import ConfigurationError
from bizzmq.testing import invariants
from bizzmq.testing.balance import Evidence, judge, struck
from bizzmq.testing.healing import Healing
from bizzmq.testing.layout import envelope_of, snapshot
from bizzmq.testing.ledger import PUBLISHED
from bizzmq.testing.load import UNSURE
from bizzmq.testing.recovery import recoveries
from bizzmq.testing.site import Site
from bizzmq.testing.stage import DRAIN_S, Settings, Stage
from bizzmq.testing.strike import Kind, Planned, Strike, plan
from bizzmq.testing.verdict import Verdict
from bizzmq.testing.wait import eventually

_TICK_S = 0.02
_LOOK_EVERY_S = 1.0
_GONE_S = DRAIN_S + 10.0
_MOST_PROBLEMS = 20


class Torture:
    """Tortures one handler on some servers.

    Parameters: `directory` receives ledger and logs; `tell(kind, about)` is called for each fault; `ready` is called
    when the pools are at work.

    Attributes:
        stage: pools, publisher and ledger; after `run` only the files are left.
        strikes: the faults so far.
    """

    def __init__(
        self,
        site: Site,
        settings: Settings,
        directory: Path,
        tell: Callable[[str, str], object] = lambda _kind, _about: None,
        ready: Callable[[Stage], object] = lambda _stage: None,
    ) -> None:
        self._site, self._settings, self._directory = site, settings, directory
        self._tell, self._ready = tell, ready
        self._healing = Healing()
        self._looked_s = 0.0
        self._problems: list[str] = []
        self.stage: Stage
        self.strikes: list[Strike] = []

    def run(self) -> Verdict:
        """Run it and return the verdict. Raises ConfigurationError for an unknown fault or handler."""
        with Stage(self._site, self._settings, self._directory) as self.stage:
            kinds = self._kinds()
            self._ready(self.stage)
            try:
                self._note(lambda: self._torment(kinds))
                self._note(self.stage.load.stop)
                self._note(self._healing.finish)
            finally:
                self._healing.join()  # otherwise it would start again what is being ended
            self._note(self._site.calm)
            if self._settle():
                self._note(lambda: self._check_queues(nothing_stranded=True))
            evidence = self._evidence()
            published_at_s = {event.id: event.time_s for event in self.stage.ledger.events(PUBLISHED)}
            self._drain()
            balance = judge(evidence)
            balance.problems[:0] = self._problems
            if balance.problems:
                (self._directory / "pools.log").write_text(self.stage.logs(), encoding="utf-8")
        return Verdict(
            self._settings.seed, self._settings.seconds, balance, struck(self.strikes),
            recoveries(self.strikes, evidence.runs, published_at_s),
        )  # fmt: skip

    def _kinds(self) -> Mapping[str, Kind]:
        """The kinds of fault to choose from."""
        return chosen({**self.stage.host.kinds(), **self._site.kinds()}, self._settings.faults)

    def _torment(self, kinds: Mapping[str, Kind]) -> None:
        todo = plan(self._settings.seed, self._settings.seconds, kinds)
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < self._settings.seconds:
            self._healing.tick()
            now_s = time.monotonic()
            due = (planned for planned in todo if begin_s + planned.at_s <= now_s)
            # A fault waits while another one of its group is still being undone.
            planned = next((one for one in due if self._healing.is_free(kinds[one.kind].alone_in)), None)
            if planned is not None:
                todo.remove(planned)
                self._strike(kinds[planned.kind], planned)
            if now_s - self._looked_s > _LOOK_EVERY_S and not self._healing.is_outage:
                self._looked_s = now_s
                self._note(self._check_queues)
            time.sleep(_TICK_S)

    def _strike(self, kind: Kind, planned: Planned) -> None:
        try:
            hit = kind.strike(random.Random(planned.seed))
        except RedisError:  # the server did not answer when the fault looked for its target
            return
        if not hit.about:
            return
        self._tell(kind.name, hit.about)
        now_s = time.monotonic()
        healed_s = float("inf") if hit.heal else now_s
        self.strikes.append(
            Strike(
                kind.name, now_s, hit.about, kind.reach, kind.is_outage, kind.counts_from_strike, healed_s,
                frozenset(hit.pids()), hit.former_pids, hit.queue,
            )
        )  # fmt: skip
        index = len(self.strikes) - 1

        def healed() -> None:
            pids = self.strikes[index].pids | frozenset(hit.pids())
            self.strikes[index] = replace(self.strikes[index], healed_s=time.monotonic(), pids=pids)

        if hit.heal is not None:
            self._healing.add(kind, hit, now_s + planned.lasts_s, healed)

    def _check_queues(self, *, nothing_stranded: bool = False) -> None:
        for queue in self._settings.queues:
            try:
                invariants.check_one_place(self._site.look(queue), queue)
                if nothing_stranded:
                    invariants.check_nothing_stranded(self._site.look(queue), queue)
            except RedisError:  # unavailable without a fault: the pools would complain, too
                continue

    def _settle(self) -> bool:
        """Wait until only dead letters are stored; False if progress stops before that."""
        seen: Any = None
        changed_s = time.monotonic()
        while True:
            now = self._left()
            if now == 0:
                return True
            state = (now, sum(path.stat().st_size for path in self.stage.ledger.directory.iterdir()))
            if state != seen:
                seen, changed_s = state, time.monotonic()
            if time.monotonic() - changed_s > self._settings.patience_s:
                self._problems.append(f"G4: {now} messages are left, and nothing has happened for long")
                return False
            if not self.stage.host.living():
                self._problems.append("G6: the pool has left by itself")
                return False
            time.sleep(_TICK_S)

    def _left(self) -> int | None:
        """The number of stored messages without dead letters; None if a server does not answer."""
        try:
            return sum(len(snapshot(self._site.look(queue), queue)[0].messages) for queue in self._settings.queues)
        except RedisError:
            return None

    def _evidence(self) -> Evidence:
        ledger = self.stage.ledger
        stored: set[str] = set()
        dead: dict[str, Mapping[str, Any]] = {}
        for queue in self._settings.queues:
            look = self._site.look(queue)
            main, letters = snapshot(look, queue)
            stored |= main.messages
            for message_id in letters.messages:
                dead[message_id] = envelope_of(look, letters.queue, message_id).error or {}
        return Evidence(
            published=frozenset(ledger.published()),
            runs=ledger.runs(),
            unsure=frozenset(event.id for event in ledger.events(UNSURE)),
            doubtful=self.stage.load.doubtful,
            dead=dead,
            stored=frozenset(stored),
            strikes=self.strikes,
        )

    def _drain(self) -> None:
        """G6: living pools exit with 0, and no process of any pool is left."""
        host = self.stage.host
        for pool in host.living():
            self._note(lambda: eventually(pool.has_ready_worker, _GONE_S, pool.log))  # noqa: B023 - called now
            pool.signal(signal.SIGTERM)  # before it is ready, SIGTERM would end it like any program
        for pool in host.pools:
            self._note(lambda: pool.wait(_GONE_S))  # noqa: B023 - called now
            if pool not in host.fell and pool.exit_code not in (0, None):
                self._problems.append(f"G6: a pool has left with {pool.exit_code}")
            self._note(lambda: pool.assert_no_process_left(_GONE_S))  # noqa: B023 - called now

    def _note(self, check: Callable[[], object]) -> None:
        """Record the AssertionError of a check as a problem."""
        try:
            check()
        except AssertionError as error:
            if len(self._problems) < _MOST_PROBLEMS:
                self._problems.append(" ".join(str(error).splitlines()[:2]))


def chosen(kinds: Mapping[str, Kind], names: Any) -> Mapping[str, Kind]:
    """The kinds with these names, or all. Raises ConfigurationError."""
    for name in names:
        if name not in kinds:
            raise ConfigurationError(f"there is no fault {name!r}; there are {', '.join(kinds)}")
    return {name: kinds[name] for name in names} if names else kinds
