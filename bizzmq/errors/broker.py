"""Errors of the connection to Redis, and of what Redis replies."""

from __future__ import annotations

from bizzmq.validation.base_errors import BizzMQError


class BrokerUnavailableError(BizzMQError, ConnectionError):
    """Redis is unavailable: it cannot be reached, is loading its data, fails over, or refuses this client.

    The command may or may not have been executed. All of BizzMQ's commands are safe to repeat.
    """


class BrokerRefusesError(BrokerUnavailableError):
    """Redis answers but refuses the command: it is loading its data, is read-only, or rejects the credentials."""


class BrokerUnusableError(BrokerRefusesError):
    """Redis answers with an error that waiting does not cure.

    Examples are an unknown database, wrong credentials, another kind of server, or an untrusted certificate. At the
    start of a program this is wrong input. Later, for example after a password was changed, it is an outage.
    """


class ConnectionLimitError(BrokerUnavailableError):
    """All connections of a client were in use, and none became free in time; nothing was sent.

    Attributes:
        limit: the number of connections that the client may use.
    """

    def __init__(self, limit: int, waited_s: float) -> None:
        super().__init__(
            f"all {limit} connections of this client were in use for {waited_s:g} s; "
            "use fewer threads or tasks at once, or a larger max_connections of the client"
        )
        self.limit = limit


class BrokerFullError(BizzMQError):
    """Redis has reached its memory limit and stores nothing more; nothing was published."""


class BrokerReplyError(BizzMQError):
    """Redis replied with an error that repeating the command does not cure."""


class WrongTypeError(BrokerReplyError):
    """A key of BizzMQ has the wrong type in Redis: another program writes to this database.

    Attributes:
        key: the key; "" if it is unknown, because Redis does not name it, or if it has been repaired since.
        queue: the name of the queue that it belongs to, or "".
        wanted: the type that the key should have, as Redis's TYPE calls it.
        found: the type that it has.
    """

    def __init__(self, text: str, key: str = "", queue: str = "", wanted: str = "", found: str = "") -> None:
        super().__init__(text)
        self.key = key
        self.queue = queue
        self.wanted = wanted
        self.found = found


class ClosedError(BizzMQError):
    """The client is closed; create a new one."""


class LeaseLostError(BizzMQError):
    """The worker is no longer registered: its messages belong to other workers, and nothing was changed.

    Attributes:
        queue: the name of the queue.
        worker_id: the id of the worker.
    """

    def __init__(self, queue: str, worker_id: str) -> None:
        super().__init__(f"worker {worker_id} has lost its lease on queue {queue!r}")
        self.queue = queue
        self.worker_id = worker_id
