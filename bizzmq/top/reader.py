"""Reads what the terminal shows. Never a command that is O(messages), but for the failures, which are bounded."""

from __future__ import annotations

from typing import Sequence

from bizzmq.admin.activity.pauses import Pause, read_pauses_if_allowed
from bizzmq.admin.queue_row import QueueRow, read_names, read_row
from bizzmq.client import BizzMQ, new_broker
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.groups import Grouping
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.protocol.keys import QueueKeys
from bizzmq.top.picture import Failing, Picture, picture_of

_LETTER_PAGES = 20
"""Pages of dead letters that are read of each queue: of more letters, the rest is not grouped."""


class Reader:
    """Reads with a connection of its own, so that an act does not wait for it. Not safe for threads at once."""

    def __init__(self, mq: BizzMQ) -> None:
        self._broker = new_broker(mq)

    def close(self) -> None:
        """Close the connection."""
        self._broker.connection.drop()

    def read(self) -> Picture:
        """Everything but the failures. Raises BrokerUnavailableError."""
        rows, pauses = [], {}
        for name in self._broker.perform(read_names()):
            row = self._broker.perform(read_row(name))
            if row is not None:
                rows.append(row)
                pauses[name] = self._pauses(row)
        return picture_of(rows, pauses)

    def _pauses(self, row: QueueRow) -> Sequence[Pause]:
        if row.stats is None:
            return ()
        try:
            return self._broker.perform(read_pauses_if_allowed(QueueKeys(row.queue)))
        except QUEUE_TROUBLE:
            return ()  # the next picture says what is wrong with the queue

    def read_failing(self, picture: Picture) -> list[Failing]:
        """The groups of dead letters of all queues, largest first. Of each queue, some pages are read."""
        found: list[Failing] = []
        for row in picture.rows:
            if row.stats is None or not row.stats.dead_lettered:
                continue
            grouping, pages = Grouping(QueueKeys(row.queue), LetterFilter()), 0
            try:
                while not grouping.is_complete and pages < _LETTER_PAGES:
                    self._broker.perform(grouping.read_page())
                    pages += 1
            except QUEUE_TROUBLE:
                continue
            found += [Failing(row.queue, group) for group in grouping.groups()]
        return sorted(found, key=lambda one: -one.group.count)
