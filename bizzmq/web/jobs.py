"""Acts on many messages: jobs that run in the dashboard's process, show their progress, and can be stopped."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from typing import AsyncIterator, Awaitable, Callable, List, Optional, TypeVar

from bizzmq.errors import BizzMQError, BrokerUnavailableError
from bizzmq.utils.logs import log
from bizzmq.utils.wording import counted

_logger = logging.getLogger("bizzmq.web")
_MOST = 50
_MOST_RUNNING = 8
_TRIES, _PAUSE_S = 60, 1.0
T = TypeVar("T")
RUNNING, STOPPED, DONE, FAILED = "running", "stopped", "done", "failed"


class Step:
    """What a step of a job has done: how many messages it has looked at, and how many it has changed."""

    __slots__ = ("changed", "seen")

    def __init__(self, seen: int, changed: int) -> None:
        self.seen, self.changed = seen, changed


class TooManyJobsError(Exception):
    """As many jobs run as may run at once."""


class Job:
    """An act on many messages.

    Attributes:
        id: for its page.
        sentence: what it does.
        who: who has started it.
        queue: the queue that it works on.
        state: `running`, `stopped`, `done` or `failed`.
        seen: how many messages it has looked at.
        changed: how many of them it has changed.
        total: how many it will look at, as far as that is known; 0 if it is not.
        error: why it has failed, or what it waits for; "" otherwise.
        began_s, ended_s: when, seconds since the epoch; `ended_s` is None while it runs.
    """

    def __init__(self, sentence: str, who: str, queue: str, total: int = 0) -> None:
        self.id = secrets.token_hex(6)
        self.sentence, self.who, self.queue, self.total = sentence, who, queue, total
        self.state, self.error = RUNNING, ""
        self.seen = self.changed = 0
        self.began_s = time.time()
        self.ended_s: Optional[float] = None
        self.is_stopping = False

    @property
    def share(self) -> Optional[float]:
        """How much is done, 0 to 1; None if that is not known."""
        return min(1.0, self.seen / self.total) if self.total else None

    @property
    def outcome(self) -> str:
        """What came of it, for the log."""
        error = f": {self.error}" if self.error else ""
        return f"{self.state}; {counted(self.changed, 'message')} of {self.seen:,} changed{error}"

    def stop(self) -> None:
        """End it after its current step."""
        self.is_stopping = True


Steps = Callable[[], AsyncIterator[Step]]
Ended = Callable[[Job], Awaitable[None]]


class Jobs:
    """The jobs of this process, and the last ones that have ended."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def all(self) -> List[Job]:
        """The newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, job_id: str) -> Optional[Job]:
        """A job by its id; None if it is not known."""
        return self._jobs.get(job_id)

    def start(self, job: Job, steps: Steps, ended: Ended) -> None:
        """Run a job.

        Args:
            steps: does one step at each turn. A step that fails because Redis is away is not repeated: the generator
                does that itself.
            ended: an async function, called with the job when it has ended.

        Raises:
            TooManyJobsError
        """
        if sum(one.state == RUNNING for one in self._jobs.values()) >= _MOST_RUNNING:
            raise TooManyJobsError
        self._jobs[job.id] = job
        for old in [one for one in self._jobs.values() if one.state != RUNNING][: max(0, len(self._jobs) - _MOST)]:
            del self._jobs[old.id]
        task = asyncio.ensure_future(_run(job, steps, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _run(job: Job, steps: Steps, ended: Ended) -> None:
    try:
        async for step in steps():
            job.seen, job.changed, job.error = job.seen + step.seen, job.changed + step.changed, ""
            if job.is_stopping:
                job.state = STOPPED
                break
            await asyncio.sleep(0)
        else:
            job.state = DONE
    except BizzMQError as error:
        job.state, job.error = FAILED, str(error)
    except asyncio.CancelledError:
        job.state = STOPPED
        raise
    except Exception as error:  # noqa: BLE001 - each job ends with a state
        job.state, job.error = FAILED, "an internal error: see the log"
        log(_logger, logging.ERROR, "a job of the dashboard failed", error=error)
    finally:
        job.ended_s = time.time()
        if job.state == RUNNING:
            job.state = STOPPED
    await ended(job)


async def patient(job: Job, action: Callable[[], Awaitable[T]]) -> T:
    """The result of an async action that is safe to repeat: it is tried again for a minute while Redis is away."""
    for tried in range(_TRIES):
        try:
            return await action()
        except BrokerUnavailableError as error:
            if job.is_stopping or tried == _TRIES - 1:
                raise
            job.error = f"Redis is away, trying again: {error}"
            await asyncio.sleep(_PAUSE_S)
    raise AssertionError
