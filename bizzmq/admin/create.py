"""Creates a queue as a program asks for it, and says how an existing one differs."""

from __future__ import annotations

import logging

from bizzmq.broker.broker import Broker
from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.queue import QueueOptions
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.client")


def create(broker: Broker, queue: str, options: QueueOptions | None) -> bool:
    """Create a queue; True if it is new. Logs a warning if it exists with other options."""
    if options is None:
        return not broker.exists(queue) and broker.create(queue, QueueOptions())
    is_new = broker.create(queue, options)
    try:
        warn_of_difference(queue, options, broker.options(queue))
    except DecodeError as error:
        warn_of_difference(queue, options, error)
    except BizzMQError:
        pass  # whether it differs is not known
    return is_new


def warn_of_difference(queue: str, asked: QueueOptions, stored: QueueOptions | DecodeError) -> None:
    """Log the options of an existing queue that differ, or that they are unreadable, which is not an error here."""
    difference = str(stored) if isinstance(stored, DecodeError) else asked.difference(stored)
    if difference:
        log(_logger, logging.WARNING, _sentence(queue, difference))


def difference_of(queue: str, asked: QueueOptions, stored: QueueOptions) -> str:
    """The warning for a queue that exists with other options; "" if they are the same."""
    difference = asked.difference(stored)
    return _sentence(queue, difference) if difference else ""


def _sentence(queue: str, difference: str) -> str:
    # With the values, which could be fields: the formatter of the user's program may not show fields.
    return f"queue {queue!r} exists with other options, which stay: {difference}"
