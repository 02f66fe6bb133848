"""Ends the pauses whose time is over, and completes what others have begun to resume: for the keepers of a lease."""

from __future__ import annotations

import logging

from bizzmq.admin.activity.pauses import Pause
from bizzmq.broker.broker import Broker
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.control.pause import go_on, look
from bizzmq.protocol.keys import is_dead_letter_queue
from bizzmq.utils import clock
from bizzmq.utils.logs import log

_BUDGET_S = 1.0
"""How long one look may take: a heartbeat is due a few seconds later."""
_logger = logging.getLogger("bizzmq.lease")


class PauseEnds:
    """Looks at the pauses of queues. The user of Redis may lack the permissions: then others do it.

    Attributes:
        held: the pauses of each queue or shard that hold, as the last look has found them.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._is_refused = False
        self._pages: dict[str, str] = {}
        self.held: dict[str, list[Pause]] = {}

    def tick(self, queue: str) -> None:
        """End what is over, of a queue or shard. A million messages that go back take several looks."""
        if self._is_refused or is_dead_letter_queue(queue):  # who serves the queue itself ends both
            return
        page, self.held[queue] = self._pages.pop(queue, ""), []
        try:
            if not self._broker.has_pauses(queue):
                return
        except CommandRefusedError:  # a user from before pauses: nothing is put aside with its permissions
            self._is_refused = True
            return
        try:
            self._end(queue, page)
        except CommandRefusedError as error:
            self._is_refused = True
            log(_logger, logging.WARNING, "pauses that are over do not end here: the user of Redis may not do it",
                queue=queue, error=str(error))  # fmt: skip

    def _end(self, queue: str, page: str) -> None:
        k, until_s = self._broker.keys(queue), clock.monotonic() + _BUDGET_S
        self.held[queue], first_page = self._broker.perform(look(k))
        page = page or first_page
        while page and clock.monotonic() < until_s:
            page = self._broker.perform(go_on(k, page))
        if page:
            self._pages[queue] = page
