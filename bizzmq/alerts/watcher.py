"""Watches queues: looks at each once in an interval, and sends what begins and what is over."""

from __future__ import annotations

import logging
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

from bizzmq.admin.queue_row import read_names
from bizzmq.alerts.facts import (
    Facts,
    Finding,
    NextMessages,
    findings_of,
    read_facts,
    read_next_messages,
    silent_pools,
    unknown_kinds,
)
from bizzmq.alerts.note import BEGIN, OVER, Change, Look, Note, after_sending, next_step, read_note
from bizzmq.alerts.rules import KINDS, OLDEST_WAITING, REDIS_AWAY, Rules
from bizzmq.alerts.senders import Notice, Sender, SendError
from bizzmq.broker.alerts import change_alert_call, change_alert_result
from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation, Script, read_time_ms
from bizzmq.connection.retry import QUOTE_LIMIT
from bizzmq.errors import QUEUE_TROUBLE, BizzMQError, BrokerUnavailableError, QueueNotFoundError
from bizzmq.protocol import ids
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils import clock, logs
from bizzmq.utils.logs import log
from bizzmq.utils.wording import span

_logger = logging.getLogger("bizzmq.alerts")
T = TypeVar("T")
_SURE_S = 1.0
"""What waits too long must still wait after this time: a message whose delay has just ended is old, and runs soon."""
_MARGIN_MS = 10_000


class _Site(NamedTuple):
    """A queue in one pass. `findings` are by kind."""

    facts: Facts
    findings: Mapping[str, Finding]


class Watcher:
    """Sends alerts. What is sent is noted in Redis, so that neither another watcher nor a later one sends it again.

    Args:
        sender: where alerts go.
        wait: waits for some seconds, or until the watcher is to end.
    """

    def __init__(
        self,
        broker: Broker,
        rules: Rules,
        sender: Sender,
        wait: Callable[[float], None] = time.sleep,
        now_s: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._broker, self._rules, self._sender, self._wait, self._now_s = broker, rules, sender, wait, now_s
        self._id = f"{ids.host_name()}.{ids.nonce()}"
        self._unsettled: Dict[Tuple[str, str], Tuple[Note, bool]] = {}
        self._away_since_s: Optional[float] = None
        self._away: Optional[Note] = None
        self._can_send = True
        self._failure: Optional[BrokerUnavailableError] = None

    def look(self) -> List[str]:
        """Look at all queues, and send what is new. Returns the sentences of the alerts that hold.

        Raises BrokerUnavailableError.
        """
        self._can_send, self._failure = True, None
        held: List[str] = []
        for site in self._sites():
            held += self._settle(site)
        if self._failure is not None:
            raise self._failure
        return held

    def look_or_note(self) -> None:
        """As `look`; that Redis is away is an alert of its own, once it has been away for long enough."""
        try:
            self.look()
        except BrokerUnavailableError as error:
            self._note_away(str(error)[:QUOTE_LIMIT])
        except BizzMQError as error:
            log(_logger, logging.ERROR, "the queues cannot be looked at", error=str(error)[:QUOTE_LIMIT])
        else:
            self._note_back()

    def _sites(self) -> List[_Site]:
        """All queues that exist, with what is wrong with each."""
        names = list(self._rules.queues) or self._broker.perform(read_names())
        found = [facts for facts in map(self._facts, names) if facts is not None]
        said: Dict[str, str] = {}
        for facts in found:
            for pool in silent_pools(facts.row):
                said.setdefault(pool.id, facts.row.queue)
        sites = []
        for facts in found:
            elsewhere = [pool for pool, queue in said.items() if queue != facts.row.queue]
            sites.append(_Site(facts, findings_of(facts, self._rules, elsewhere)))
        return self._sure_of_oldest(sites)

    def _facts(self, queue: str) -> Optional[Facts]:
        return self._read(queue, read_facts(queue, self._rules))

    def _read(self, queue: str, operation: Operation[T]) -> Optional[T]:
        """What it returns; None if the queue cannot be read now, which is logged or raised at the end of the pass."""
        try:
            return self._broker.perform(operation)
        except QUEUE_TROUBLE as error:
            log(_logger, logging.WARNING, "the queue cannot be looked at", queue=queue, error=str(error)[:QUOTE_LIMIT])
        except BrokerUnavailableError as error:
            if not self._broker.connection.spans_nodes:
                raise
            self._failure = error  # the queues on other nodes are looked at
        return None

    def _sure_of_oldest(self, sites: Sequence[_Site]) -> List[_Site]:
        """The same without messages whose delay has just ended: such a message is old when it begins to wait.

        A queue that workers empty too slowly has another oldest message each time, which has waited before.
        """
        late = [site.facts.row.queue for site in sites if OLDEST_WAITING in site.findings]
        before = {queue: self._read(queue, read_next_messages(queue)) for queue in late}
        if late:
            self._wait(_SURE_S)
        gone = {queue for queue, messages in before.items() if not self._is_late(queue, messages)}
        return [_without_oldest(site) if site.facts.row.queue in gone else site for site in sites]

    def _is_late(self, queue: str, before: Optional[NextMessages]) -> bool:
        """Whether the oldest message of a queue waits too long, and has waited before."""
        again = self._facts(queue)
        if before is None or again is None or OLDEST_WAITING not in findings_of(again, self._rules):
            return False
        return again.row.oldest_id in before.ids or not before.is_all

    def _settle(self, site: _Site) -> List[str]:
        """Send what is new of one queue. Returns the sentences of the alerts that hold."""
        facts, held = site.facts, []
        unknown = unknown_kinds(facts)
        for kind in sorted({*site.findings, *facts.notes} & {*KINDS}):
            finding = site.findings.get(kind)
            stored = facts.notes.get(kind, b"")
            if finding is None and kind in unknown:
                continue
            try:
                note = self._step(facts, kind, stored, finding)
            except QueueNotFoundError:
                return []
            except QUEUE_TROUBLE as error:
                log(_logger, logging.WARNING, "the note about an alert cannot be written", queue=facts.row.queue,
                    alert=kind, error=str(error)[:QUOTE_LIMIT])  # fmt: skip
                continue
            if note is not None and note.is_on:
                held.append(finding.sentence if finding is not None else f"{facts.row.queue}: {KINDS[kind].title}")
        return held

    def _step(self, facts: Facts, kind: str, stored: bytes, finding: Optional[Finding]) -> Optional[Note]:
        """Do what is next about one alert; returns its note afterwards."""
        queue = facts.row.queue
        stored = self._settled_late(queue, kind, stored)
        before, now_ms = read_note(stored), self._clock_ms()
        change = next_step(before, self._look(kind, finding, now_ms))
        if change.send and not self._can_send:
            return before  # where alerts go did not answer a moment ago: in the next pass
        after = change.after.encode() if change.after is not None else b""
        if after == stored:
            return change.after
        if not self._broker.perform(_change(queue, kind, stored, after)):
            return change.after  # another watcher came first, and does the same
        if not change.send or change.after is None:
            return change.after
        is_sent = self._send(self._notice(queue, kind, change, finding, now_ms))
        return read_note(self._note_sent(queue, kind, change.after, is_sent))

    def _note_sent(self, queue: str, kind: str, note: Note, is_sent: bool) -> bytes:
        """Note that an alert was sent, or could not be sent. If Redis is away by now, the next pass notes it."""
        self._unsettled[queue, kind] = note, is_sent
        settled = after_sending(note, is_sent, self._clock_ms())
        after = settled.encode() if settled is not None else b""
        self._broker.perform(_change(queue, kind, note.encode(), after))
        del self._unsettled[queue, kind]
        return after

    def _settled_late(self, queue: str, kind: str, stored: bytes) -> bytes:
        """The note, after what the last pass could not note, unless another watcher has gone on meanwhile."""
        note, is_sent = self._unsettled.pop((queue, kind), (None, False))
        if note is None or note.encode() != stored:
            return stored
        return self._note_sent(queue, kind, note, is_sent)

    def _clock_ms(self) -> int:
        return self._broker.perform(read_time_ms())

    @property
    def _send_ms(self) -> int:
        return round(self._sender.longest_s * 1000) + _MARGIN_MS

    def _look(self, kind: str, finding: Optional[Finding], now_ms: int) -> Look:
        hold_s = finding.limit if finding is not None and KINDS[kind].holds else 0.0
        return Look(finding is not None, now_ms, round(hold_s * 1000), self._send_ms, self._id)

    def _notice(self, queue: str, kind: str, change: Change, finding: Optional[Finding], now_ms: int) -> Notice:
        since_ms = change.after.since_ms if change.after is not None else now_ms
        lasted = span((now_ms - since_ms) / 1000)
        of = f"{queue}: " if queue else ""
        if change.send == OVER or finding is None:
            return Notice(kind, OVER, queue, f"{of}{KINDS[kind].title}. This is over after {lasted}",
                          since_ms / 1000, now_ms / 1000)  # fmt: skip
        return Notice(kind, BEGIN, queue, logs.cut(logs.escape(finding.sentence)), since_ms / 1000, now_ms / 1000,
                      round(finding.value, 3), finding.limit)  # fmt: skip

    def _send(self, notice: Notice) -> bool:
        try:
            self._sender.send(notice)
        except SendError as error:
            self._can_send = False
            log(_logger, logging.ERROR, "an alert could not be sent", alert=notice.alert, queue=notice.queue,
                state=notice.state, problem=notice.sentence, error=str(error))  # fmt: skip
            return False
        return True

    # Redis cannot keep the note that it is away: each watcher sends that by itself.

    def _note_away(self, error: str) -> None:
        now_s = self._now_s()
        if self._away_since_s is None:
            self._away_since_s = now_s
            log(_logger, logging.WARNING, "Redis is away", error=error)
        limit = self._rules.limit(REDIS_AWAY)
        if limit is not None:
            self._step_away(Finding(f"Redis is away: {error}", now_s - self._away_since_s, limit))

    def _note_back(self) -> None:
        if self._away_since_s is not None:
            log(_logger, logging.INFO, "Redis is back", for_s=round(self._now_s() - self._away_since_s, 1))
            self._away_since_s = None
        self._step_away(None)

    def _step_away(self, finding: Optional[Finding]) -> None:
        now_ms = clock.wall_ms()
        change = next_step(self._away, self._look(REDIS_AWAY, finding, now_ms))
        self._away = change.after
        if change.send and self._away is not None:
            is_sent = self._send(self._notice("", REDIS_AWAY, change, finding, now_ms))
            self._away = after_sending(self._away, is_sent, clock.wall_ms())


def _change(queue: str, kind: str, before: bytes, after: bytes) -> Operation[bool]:
    reply: Any = yield Script("change_alert", change_alert_call(QueueKeys(queue), kind, before, after))
    return change_alert_result(reply, queue)


def _without_oldest(site: _Site) -> _Site:
    return site._replace(findings={kind: one for kind, one in site.findings.items() if kind != OLDEST_WAITING})
