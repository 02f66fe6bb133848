"""The check of the server at the start of a pool: it must have the commands that a pool needs."""

from __future__ import annotations

from typing import Callable

from bizzmq.broker.broker import Broker
from bizzmq.doctor.roles import OPTIONAL, needed
from bizzmq.doctor.server_info import missing_commands
from bizzmq.errors import QUEUE_TROUBLE, BrokerRefusesError, BrokerUnavailableError, BrokerUnusableError


class ServerCheck:
    """Checks once for each pool.

    Args:
        queue: one of the pool's queues.
        before_request: called before each request to Redis.
    """

    def __init__(self, broker: Broker, supervisor: str, queue: str, before_request: Callable[[], None]) -> None:
        self._broker = broker
        self._supervisor = supervisor
        self._queue = queue
        self._before_request = before_request
        self._is_done = False

    def require_commands(self) -> None:
        """Check the commands, unless that is done already.

        Raises:
            BrokerUnusableError: some are missing.
        """
        if self._is_done or self._is_registered():
            return
        required = sorted({*needed("worker")} - {*OPTIONAL})
        try:
            missing = missing_commands(
                self._broker.connection.at(self._broker.keys(self._queue).meta), required, self._before_request
            )
        except BrokerRefusesError:
            raise
        except BrokerUnavailableError:
            self._broker.ping()  # the server works; a proxy refuses the question
            missing = []
        self._is_done = not missing
        if missing:
            names = ", ".join(name.upper() for name in missing)
            raise BrokerUnusableError(f"the server has no {names}: see bizzmq doctor")

    def _is_registered(self) -> bool:
        """Whether an earlier janitor has registered the supervisor: then a heartbeat is due, and no check."""
        try:
            return self._supervisor in self._broker.supervisors(self._queue)
        except (*QUEUE_TROUBLE, BrokerRefusesError):
            return False
