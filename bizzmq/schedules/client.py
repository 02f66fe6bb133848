"""The methods of a client that add, show and change schedules."""

from __future__ import annotations

import getpass
from datetime import datetime, timezone
from typing import Any, Callable, NamedTuple, Sequence, TypeVar

from bizzmq.broker.operations import Operation, read_time_ms
from bizzmq.message import MessageOptions
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.sealing import Sealer
from bizzmq.schedules import operations
from bizzmq.schedules.cron import UTC
from bizzmq.schedules.info import ScheduleInfo
from bizzmq.schedules.operations import Stored
from bizzmq.schedules.schedule import ALLOW, LAST, Schedule, checked_options, decode, new_schedule
from bizzmq.validation import checks
from bizzmq.validation.checks import Seconds

T = TypeVar("T")
MAX_TIMES = 1000


class Encoding(NamedTuple):
    """How a client encodes: the function that makes JSON of a body, and what seals envelopes."""

    body: Callable[[Any], bytes]
    sealer: Sealer | None


class ScheduleClient:
    """What the command `bizzmq schedule` does, as methods."""

    def _perform(self, operation: Callable[..., Operation[T]], *arguments: Any) -> T:
        raise NotImplementedError  # QueueClient has it

    def _encoding(self) -> Encoding:
        raise NotImplementedError  # the client has the keys

    def _publish_encoded(self, schedule: Schedule) -> str:
        raise NotImplementedError  # the client has the publishers

    def schedule(
        self,
        name: str,
        queue_name: str,
        message: Any,
        options: MessageOptions | None = None,
        *,
        cron: str | None = None,
        every_s: Seconds | None = None,
        timezone: str = UTC,
        missed: str = LAST,
        overlap: str = ALLOW,
        jitter_s: Seconds = 0.0,
    ) -> ScheduleInfo:
        """Publish a message again and again, by a cron line or at an interval. See docs/guide/schedules.md.

        The pools and consumers of the queue publish it; each time exactly once, however many there are. A schedule of
        this name on this queue is replaced; it stays paused if it is, and keeps its next time if it fires at the same
        times.

        Args:
            name: the name of the schedule on this queue: up to 200 printable characters without spaces.
            message, options: as for `publish_message_to_queue`. A `delay_s` counts from the time of the schedule; a
                time is left out while another message has the `unique_key`. `confirm` and `on_duplicate="replace"`
                are refused.
            cron: five fields (minute, hour, day of the month, month, day of the week), or `@hourly`, `@daily`,
                `@weekly`, `@monthly`, `@yearly`. It needs the extra `schedules`.
            every_s: the interval, seconds or a timedelta, at least 1 s. The first message is published after one
                interval.
            timezone: the name of the time zone of `cron`.
            missed: after downtime `last` publishes once, `skip` waits for the next time, `all` publishes once for each
                missed time.
            overlap: while the last message is not finished `allow` publishes nevertheless, `skip` leaves this time out,
                `queue-one` publishes once as soon as that message is finished.
            jitter_s: delays each message by a random time of up to this many seconds.

        Raises:
            ConfigurationError: an argument is invalid, the cron line never fires, or the extra is missing.
            QueueNotFoundError, EncodeError, PayloadTooLargeError, BrokerUnavailableError, ClosedError
        """
        chosen = checked_options(cron, every_s, timezone, missed, overlap, jitter_s)
        return self._put(name, queue_name, message, options, chosen)

    def _put(self, name: Any, queue: Any, message: Any, options: Any, chosen: Any, **more: Any) -> ScheduleInfo:
        wanted, encoding = checks.instance("options", options, MessageOptions, MessageOptions()), self._encoding()
        schedule = new_schedule(name, checked_queue(queue), chosen, encoding.body(message), wanted)
        return self._perform(lambda: operations.put(schedule, encoding.sealer, **more))

    def schedules(self, queue_name: str | None = None) -> list[ScheduleInfo]:
        """The schedules of a queue, or of all queues, sorted by queue and name.

        Raises:
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(operations.read_schedules, keys_or_none(queue_name))

    def show_schedule(self, name: str, queue_name: str | None = None) -> ScheduleInfo:
        """A schedule by its name.

        Args:
            queue_name: its queue. None searches all queues, which costs one request for each.

        Raises:
            ScheduleNotFoundError: there is none.
            ConfigurationError: several queues have one of this name.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._find(name, queue_name).info()

    def schedule_times(self, name: str, count: int = 10, queue_name: str | None = None) -> list[datetime]:
        """The next times of a schedule, UTC; of a paused one, the times that it would have if it were resumed now.

        Raises:
            As `show_schedule`.
        """
        count = checks.integer("count", count, 1, MAX_TIMES)
        stored, now_ms = self._find(name, queue_name), self._perform(read_time_ms)
        return as_datetimes(operations.next_times(stored, count, now_ms))

    def pause_schedule(
        self,
        name: str,
        queue_name: str | None = None,
        *,
        by: str | None = None,
        why: str = "",
        until: datetime | None = None,
    ) -> ScheduleInfo:
        """Stop a schedule until it is resumed. What it would have published meanwhile is not published later.

        Args:
            by: who pauses it; the default is the name of this process's user.
            why: the reason, to be shown.
            until: when it resumes by itself, by Redis's clock; a datetime with a time zone.

        Raises:
            As `show_schedule`.
        """
        return self._perform(
            operations.pause, keys_or_none(queue_name), checked_name(name), *checked_pause(by, why, until)
        )

    def resume_schedule(self, name: str, queue_name: str | None = None) -> ScheduleInfo:
        """End the pause of a schedule; it fires next at its next time. Does nothing if it is not paused.

        Raises:
            As `show_schedule`.
        """
        return self._perform(operations.resume, keys_or_none(queue_name), checked_name(name))

    def run_schedule(self, name: str, queue_name: str | None = None) -> str:
        """Publish the message of a schedule now, besides its times; also of a paused one. Returns the message's id.

        Raises:
            As `show_schedule`, and SignatureError: its definition is not signed with this client's keys.
        """
        return self._publish_encoded(runnable(self._find(name, queue_name), self._encoding().sealer))

    def remove_schedule(self, name: str, queue_name: str | None = None) -> bool:
        """Remove a schedule; the messages that it has published stay.

        Returns:
            False if there is none.

        Raises:
            ConfigurationError: several queues have one of this name.
            QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(operations.remove, keys_or_none(queue_name), checked_name(name))

    def prune_schedules(self, queue_name: str | None = None) -> list[ScheduleInfo]:
        """Remove the schedules that the code of their app no longer declares, on a queue or on all queues.

        Returns:
            What was removed.

        Raises:
            ConfigurationError, QueueNotFoundError, BrokerUnavailableError, ClosedError
        """
        return self._perform(operations.prune, keys_or_none(queue_name))

    def _find(self, name: str, queue_name: str | None) -> Stored:
        return self._perform(operations.find_schedule, keys_or_none(queue_name), checked_name(name))


def declare(mq: ScheduleClient, queue: str, schedules: Sequence[Schedule], app: str) -> list[str]:
    """Store what an app declares on a queue; returns the names of those that have changed. For code of BizzMQ."""
    sealer = mq._encoding().sealer  # noqa: SLF001 - private to users, not to this module
    return mq._perform(operations.declare, QueueKeys(queue), schedules, app, sealer)  # noqa: SLF001 - as above


def checked_queue(queue_name: Any) -> str:
    """The name of a queue as a str. Raises ConfigurationError."""
    return QueueKeys(checks.text("queue_name", queue_name, "a text, the name of a queue")).queue


def checked_name(name: Any) -> str:
    """The name of a schedule that may exist. Raises ConfigurationError."""
    return checks.text("name", name, "a text, the name of a schedule")


def keys_or_none(queue_name: Any) -> QueueKeys | None:
    """The keys of a queue; None for None. Raises ConfigurationError."""
    return None if queue_name is None else QueueKeys(checked_queue(queue_name))


def checked_pause(by: Any, why: Any, until: Any) -> tuple[str, str, int | None]:
    """Who pauses, why, and until when in ms. Raises ConfigurationError."""
    who = checks.text("by", by) if by is not None else user_name()
    until_ms = None if until is None else round(_moment_s(until) * 1000)
    return who, checks.text("why", why), until_ms


def _moment_s(until: Any) -> float:
    if not isinstance(until, datetime):
        checks.refuse("until", "a datetime with a time zone", until)
    moment_s = checks.moment("until", until)
    if moment_s <= 0:
        checks.refuse("until", "in the future", until)
    return moment_s


def user_name() -> str:
    """The name of this process's user; "" if it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def runnable(stored: Stored, sealer: Sealer | None) -> Schedule:
    """The schedule, to publish its message. Raises DecodeError, SignatureError."""
    return decode(stored.info().name, stored.queue, stored.definition, sealer or Sealer())


def as_datetimes(times_ms: list[int]) -> list[datetime]:
    """Times in ms as datetimes, UTC."""
    return [datetime.fromtimestamp(time_ms / 1000, timezone.utc) for time_ms in times_ms]
