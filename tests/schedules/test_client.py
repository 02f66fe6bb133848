"""The methods of both clients, and `bizzmq schedule`."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from datetime import datetime, timedelta, timezone
from typing import Any, Callable

import pytest

from bizzmq import AsyncBizzMQ, BizzMQ, ConfigurationError, QueueNotFoundError, QueueOptions, ScheduleNotFoundError
from bizzmq.aio.schedules import AsyncScheduleClient
from bizzmq.schedules.client import ScheduleClient
from tests.support import forked_command
from tests.support.forked_command import Finished
from tests.support.paths import ROOT

Command = Callable[..., Finished]
METHODS = [name for name in vars(ScheduleClient) if not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_both_clients_have_the_same_methods(name: str) -> None:
    blocking, other = getattr(ScheduleClient, name), getattr(AsyncScheduleClient, name)

    assert inspect.signature(blocking) == inspect.signature(other)
    assert inspect.iscoroutinefunction(other)


def test_all_methods_work_from_asyncio(url: str, queue: str) -> None:
    async def use() -> None:
        async with AsyncBizzMQ(url) as mq:
            info = await mq.schedule("s", queue, {"n": 1}, cron="0 3 * * *", timezone="Europe/Berlin")
            assert info == await mq.show_schedule("s") == (await mq.schedules())[0]
            times = await mq.schedule_times("s", 2)
            assert timedelta(hours=22) < times[1] - times[0] < timedelta(hours=26)
            assert (await mq.pause_schedule("s", by="ada")).state == "paused"
            assert (await mq.resume_schedule("s")).state == "active"
            assert await mq.find(await mq.run_schedule("s")) is not None
            assert await mq.remove_schedule("s")
            assert not await mq.remove_schedule("s")
            assert await mq.prune_schedules() == []

    asyncio.run(use())


def test_what_is_not_there_is_an_error_that_names_it(mq: BizzMQ, queue: str) -> None:
    with pytest.raises(ScheduleNotFoundError, match="no queue has a schedule 's'"):
        mq.show_schedule("s")
    with pytest.raises(ScheduleNotFoundError, match="queue 'q' has no schedule 's'"):
        mq.pause_schedule("s", queue)
    with pytest.raises(QueueNotFoundError):
        mq.schedule("s", "missing", 1, every_s=60)
    with pytest.raises(QueueNotFoundError):
        mq.schedules("missing")


def test_a_name_that_several_queues_have_needs_the_queue(mq: BizzMQ, queue: str) -> None:
    mq.create_queue("p")
    for name in (queue, "p"):
        mq.schedule("s", name, 1, every_s=60)

    with pytest.raises(ConfigurationError, match="several queues have a schedule 's': p, q; name one of them"):
        mq.show_schedule("s")
    assert mq.show_schedule("s", "p").queue == "p"
    assert [one.queue for one in mq.schedules()] == ["p", "q"]


@pytest.mark.parametrize("home", ["q:1", "q_dlq", "q_dlq_dlq", ""])
def test_a_shard_or_a_dead_letter_queue_has_no_schedule(mq: BizzMQ, home: str) -> None:
    with pytest.raises(ConfigurationError):
        mq.schedule("s", home, 1, every_s=60)


def test_a_pause_until_a_time_without_a_zone_is_refused(mq: BizzMQ, queue: str) -> None:
    mq.schedule("s", queue, 1, every_s=60)

    for until in (datetime(2030, 1, 1), 60):  # noqa: DTZ001 - on purpose
        with pytest.raises(ConfigurationError, match="until must be a datetime with a time zone"):
            mq.pause_schedule("s", until=until)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="until must be in the future"):
        mq.pause_schedule("s", until=datetime(1960, 1, 1, tzinfo=timezone.utc))


def test_a_schedule_of_a_queue_with_shards_lives_on_the_first_and_goes_with_the_queue(mq: BizzMQ) -> None:
    mq.create_queue("sharded", QueueOptions(shards=3))
    mq.schedule("s", "sharded", 1, every_s=60)

    assert [one.queue for one in mq.schedules()] == ["sharded"]
    mq.delete_queue("sharded")

    assert mq.schedules() == []


def test_without_cronsim_cron_lines_are_refused_and_intervals_work(mq: BizzMQ, queue: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)

    with pytest.raises(ConfigurationError, match="cron lines need cronsim; install the extra `schedules`"):
        mq.schedule("s", queue, 1, cron="0 3 * * *")

    assert mq.schedule("s", queue, 1, every_s=60).when == "every 60 s"


@pytest.fixture
def bizzmq(url: str) -> Command:
    return lambda *words: forked_command.bizzmq("schedule", *words, cwd=ROOT / "examples", BIZZMQ_REDIS_URL=url)


def test_the_command_adds_shows_pauses_runs_and_removes(bizzmq: Command, mq: BizzMQ, queue: str) -> None:
    added = bizzmq("add", "s", queue, '{"n": 1}', "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
    assert (added.code, added.err) == (0, "")
    assert added.out.startswith("s added, next at 20")

    head, row = bizzmq("list").out.splitlines()
    assert head.split() == ["name", "queue", "task", "when", "next", "last", "state"]
    assert row.startswith("s     q      -     0 3 * * * Europe/Berlin  20")
    assert json.loads(bizzmq("list", "--json").out)[0]["body"] == {"n": 1}
    assert [line[10:19] for line in bizzmq("next", "s", "-n", "2").out.splitlines()] == ["T03:00:00"] * 2

    assert bizzmq("pause", "s", "--by", "ada", "--why", "db", "--until", "2099-01-01T00:00Z").out == "s paused\n"
    shown = bizzmq("show", "s").out
    assert "pause           by ada since " in shown
    assert " until 2099-01-01T00:00:00Z: db\n" in shown
    assert bizzmq("resume", "s").out.startswith("s active, next at ")

    message_id = bizzmq("run", "s").out.strip()
    found = mq.find(message_id)
    assert found is not None
    assert found.body == {"n": 1}
    assert bizzmq("remove", "s").out == "removed: s\n"
    assert bizzmq("remove", "--prune").out == "nothing to remove\n"


@pytest.mark.parametrize(("arguments", "code", "line"), [
    (("add", "s", "q", "1"), 2, "name either --cron or --every"),
    (("add", "s", "q", "1", "--cron", "0 0 31 2 *"), 2, "--cron '0 0 31 2 *' never fires: no month has such a day"),
    (("add", "s", "q", "1", "--every", "0.5"), 2, "'--every'"),
    (("add", "s", "q", "1", "--cron", "0 0 1 1 *", "--timezone", "Mars"), 2, "--timezone must be the name"),
    (("add", "s", "q", "{", "--every", "5"), 2, "JSON"),
    (("add", "s", "q", "--every", "5"), 2, "name the message"),
    (("add", "s", "q", "1", "--every", "5", "--task", "t"), 2, "object"),
    (("add", "s", "nope", "1", "--every", "5"), 1, "queue 'nope' does not exist"),
    (("add", "there", "q", "2", "--every", "5"), 2, "queue 'q' has a schedule 'there' already"),
    (("add", "s", "q", "--every", "5", "--task", "nope", "--app", "nightly_report:app"), 2, "has no task 'nope'"),
    (("add", "s", "q", "1", "--every", "5", "--expires", "3", "--delay", "5"), 2,
     "--expires must be longer than --delay, and 3 s is not longer than 5 s"),
    (("add", "s", "q", "1", "--every", "5m", "--unique-for", "2h"), 2,
     "--unique-until, --unique-for and on_duplicate need a --unique-key"),
    (("add", "s", "q", "1", "--every", "5", "--unique-key", ""), 2, "it is empty"),
    (("add", "s", "q", "1", "--every", "5x"), 2, "'5x' is no time span: write 90s, 5m, 2h, 7d or 1w"),
    (("show", "s"), 1, "no queue has a schedule 's'"),
    (("remove", "s", "-q", "q"), 1, "queue 'q' has no schedule 's'"),
    (("remove",), 2, "name either a schedule or --prune"),
    (("pause", "there", "--until", "tomorrow"), 2, "--until is no time such as"),
    (("pause", "there", "--until", "2030-01-01T00:00"), 2, "--until needs an offset, such as"),
    (("pause", "there", "--until", "2020-01-01T00:00Z"), 2, "--until must be in the future"),
])  # fmt: skip
def test_wrong_input_is_one_line_and_changes_nothing(
    bizzmq: Command, mq: BizzMQ, queue: str, arguments: Any, code: int, line: str
) -> None:
    mq.schedule("there", queue, 1, every_s=60)
    before = mq.schedules()

    done = bizzmq(*arguments)

    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1), done
    assert line in done.err
    assert mq.schedules() == before
