"""What the doctor says about the queues themselves: those that no worker can work on."""

from __future__ import annotations

from typing import Iterator

from bizzmq import census
from bizzmq.broker import Broker
from bizzmq.doctor_finding import Finding, fail, ok, warn
from bizzmq.errors import QUEUE_TROUBLE
from bizzmq.server_info import REFUSED
from bizzmq.soundness import faults

_NAMED = 20


def queues(broker: Broker, only: str = "") -> Iterator[Finding]:
    """Each queue that pools set aside, with why; of one queue, if it is named."""
    try:
        names = ([only] if broker.exists(only) or faults(broker, only) else []) if only else census.queue_names(broker)
        bad = {name: found for name in names for found in [faults(broker, name)] if found}
    except QUEUE_TROUBLE as error:
        yield fail("queues", f"the list of queues cannot be read: {error}",
                   "find out who writes to it, give it another name (redis-cli RENAME)")  # fmt: skip
        return
    except REFUSED as error:
        yield warn(
            "queues", f"the queues could not be looked at ({error})", "for the doctor: an operator's permissions"
        )
        return
    for name, found in list(bad.items())[:_NAMED]:
        yield fail("queues", f"queue {name} is set aside by its pools: {'; '.join(found)}",
                   f"mend it as bizzmq audit {name} says; pools come back to it by themselves")  # fmt: skip
    if len(bad) > _NAMED:
        yield fail("queues", f"{len(bad) - _NAMED} more queues are set aside", "bizzmq queues names them")
    if only and not names:
        yield warn("queues", f"there is no queue {only} yet",
                   f"a pool makes it, or bizzmq queue create {only}; bizzmq queues lists what is there")  # fmt: skip
    if names and not bad:
        yield ok("queues", f"{len(names)} queues, and pools can work on all of them")
