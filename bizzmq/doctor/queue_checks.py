"""Checks of the queues: which of them workers cannot use."""

from __future__ import annotations

from typing import Iterator

from bizzmq.admin import stats as queue_stats
from bizzmq.admin.queue_problems import queue_problems
from bizzmq.broker.broker import Broker
from bizzmq.doctor.findings import Finding, fail, ok, warn
from bizzmq.doctor.server_info import REFUSED
from bizzmq.errors import QUEUE_TROUBLE

_NAMED = 20


def queues(broker: Broker, only: str = "") -> Iterator[Finding]:
    """The queues that pools set aside, with the reasons.

    Args:
        only: the queue to check; "" for all queues.
    """
    try:
        names = (
            ([only] if broker.exists(only) or queue_problems(broker, only) else [])
            if only
            else queue_stats.queue_names(broker)
        )
        bad = {name: found for name in names for found in [queue_problems(broker, name)] if found}
    except QUEUE_TROUBLE as error:
        yield fail("queues", f"the list of queues cannot be read: {error}",
                   "find out which program writes to it, and rename it (redis-cli RENAME)")  # fmt: skip
        return
    except REFUSED as error:
        yield warn("queues", f"the queues could not be checked ({error})", "use a user with an operator's permissions")
        return
    for name, found in list(bad.items())[:_NAMED]:
        yield fail("queues", f"queue {name} is set aside by its pools: {'; '.join(found)}",
                   f"repair it as bizzmq audit {name} advises; pools return to it by themselves")  # fmt: skip
    if len(bad) > _NAMED:
        yield fail("queues", f"{len(bad) - _NAMED} more queues are set aside", "bizzmq queues lists them")
    if only and not names:
        yield warn("queues", f"there is no queue {only} yet",
                   f"a pool creates it, or bizzmq queue create {only}; bizzmq queues lists all queues")  # fmt: skip
    if names and not bad:
        yield ok("queues", f"{len(names)} queues, and pools can use all of them")
