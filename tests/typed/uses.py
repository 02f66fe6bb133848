"""Uses the whole public API of tasks as a user would. mypy and pyright accept all of it in their strict modes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Dict, List, Optional, Tuple

from typing_extensions import assert_type

from bizzmq import (
    App,
    BizzMQ,
    Context,
    DeadLetterGroup,
    Handle,
    HistoryEntry,
    KeptProfile,
    MessageHistory,
    MessageOptions,
    MessagePage,
    Pause,
    Progress,
    QueueOptions,
    ScheduleInfo,
    Task,
    as_completed,
    async_as_completed,
    async_wait,
    wait,
)

app = App(queue="mail", max_retries=2, timeout_s=timedelta(minutes=5))
app.queue("images", QueueOptions(config_dead_letter_queue=True))


@dataclass
class Report:
    month: date
    total: int


@app.task
def send(to: str, subject: str = "", *, urgent: bool = False) -> None: ...


@app.task(
    name="images.thumbnail",
    aliases=["thumbnail"],
    queue="images",
    version=2,
    priority=3,
    result_ttl_s=3600,
    max_retries=5,
    timeout_s=60,
    retry_on=(ConnectionError, TimeoutError),
    dead_letter_on=ValueError,
    retry_delays_s=[1, 10, timedelta(minutes=1)],
    retry_for_s=timedelta(hours=1),
)
def thumbnail(path: str, width: int = 200) -> str:
    return f"{path}.{width}"


@thumbnail.upgrade(1)
def _named_width(arguments: Dict[str, Any]) -> Dict[str, Any]:
    arguments["width"] = arguments.pop("w")
    return arguments


@app.task
def report(context: Context, month: date) -> Report:
    assert_type(context.task, str)
    return Report(month, 1)


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(retry_delays_s=lambda retry_count, _error: 2.0**retry_count)
async def archive(context: Context, urls: List[str]) -> int:
    return len(urls)


@app.on_worker_boot
def connect() -> None:
    app.state.connection = object()


@app.on_worker_shutdown
async def disconnect() -> None:
    del app.state.connection


def calls(context: Context) -> None:
    assert_type(thumbnail("a.png"), str)
    assert_type(report(context, date(2026, 1, 1)), Report)
    send("ada@example.org", urgent=True)


async def async_calls(context: Context) -> None:
    assert_type(await fetch("https://example.org"), bytes)
    assert_type(await archive(context, ["a"]), int)


def publishes() -> None:
    assert_type(thumbnail.publish("a.png", width=100), Handle[str])
    assert_type(report.publish(date(2026, 1, 1)), Handle[Report])
    assert_type(report.publish(month=date(2026, 1, 1)), Handle[Report])
    assert_type(fetch.publish("https://example.org"), Handle[bytes])
    assert_type(archive.publish(["a"]), Handle[int])
    send.publish("ada@example.org", "hello", urgent=True)
    assert_type(thumbnail.publish_many([("a.png",), ("b.png", 100)]), List[Handle[str]])
    thumbnail.publish_many({"path": name} for name in "abc")
    urgent = thumbnail.using(priority=5, delay_s=60, max_retries=1, headers={"tenant": "7"}, key="7", queue="images")
    assert_type(urgent.publish("a.png"), Handle[str])
    assert_type(urgent.message("a.png", 3).publish(), Handle[str])
    thumbnail.using(unique_key=lambda arguments: str(arguments["path"]), on_duplicate="replace", expires_s=60).publish(
        "a"
    )
    assert_type(thumbnail.using(unique_key="a", unique_for_s=timedelta(hours=1)).publish("a").duplicate, bool)
    thumbnail.using(result_ttl_s=timedelta(days=1), timeout_s=5.0, confirm="replicas:1").publish_many([("a.png",)])


@app.schedule(cron="0 3 * * *", timezone="Europe/Berlin", missed="skip")
@app.task
def nightly(days: int = 1) -> int:
    return days


@app.schedule("hourly-check", every_s=timedelta(hours=1), overlap="queue-one", jitter_s=5)
@app.task(queue="images")
def check(context: Context) -> None: ...


app.schedule("send-ada", send.message("ada@example.org"), every_s=60)


def schedules() -> None:
    assert_type(nightly.publish(days=2), Handle[int])
    assert_type(app.declare_schedules(), List[str])
    with BizzMQ() as mq:
        info = mq.schedule("s", "mail", {"to": "ada"}, MessageOptions(priority=1), every_s=60)
        assert_type(info, ScheduleInfo)
        assert_type(mq.run_schedule("s"), str)
        assert_type([one.next_at_s for one in mq.schedules()], "list[float | None]")
        mq.pause_schedule("s", "mail", by="ada", why="migration")


def describes() -> List[str]:
    tasks: List[Task[..., Any]] = list(app.tasks.values())
    return [task.name for task in tasks] + list(app.queues)


def reports(context: Context) -> None:
    context.progress(1, 10, "note")
    context.checkpoint({"row": 1})
    loop = context.resume(["a", "b"], every=10, key=len, name="rows", state=0)
    for row in loop:
        assert_type(row, str)
        loop.state += 1
    assert_type(thumbnail.handle("x").status().progress, Optional[Progress])


def seals() -> None:
    BizzMQ(compress_above_bytes=4096, encryption_keys={"k1": b"k" * 32}).close()
    App(encryption_keys=[("k2", "base64"), ("k1", b"k" * 32)], compress_above_bytes=0)


def client() -> None:
    with BizzMQ() as mq:
        options = MessageOptions(priority=1, result_ttl_s=60, headers={"trace": "x"}, key="tenant-7")
        assert_type(mq.publish_message_to_queue("mail", {"to": "ada"}, options), str)
        assert_type(mq.dead_letter_groups("mail", older_than_s=timedelta(days=1)), List[DeadLetterGroup])
        mq.pause("mail", task="send", by="ada", reason="a migration", for_s=timedelta(hours=2))
        assert_type(mq.pauses("mail"), List[Pause])
        assert_type(mq.resume("mail", task="send"), bool)
        assert_type(mq.cancel("id", by="ada", reason="not needed"), bool)
        assert_type(mq.retry("id", "mail"), bool)
        assert_type(mq.cancel(queue_name="mail", unique_key="welcome 7"), bool)
        assert_type(mq.cancel_all("mail", task="send", key="7"), int)
        assert_type(mq.stack("id", by="ada"), str)
        assert_type(mq.profile(task="work", for_s=30).count, int)
        assert_type(mq.kept_profile("id", "mail"), Optional[KeptProfile])
        assert_type(mq.ask_pool("host:boot:1:abc", "reload", timeout_s=2), str)
        assert_type(thumbnail.publish("a.png").cancel(reason="not needed"), bool)
        assert_type(mq.dead_letters("mail", error_type="ValueError", text="no"), MessagePage)
        assert_type(mq.replay("mail", fingerprint="0123456789ab", rate="10/s"), int)
        assert_type(mq.replay("mail", "id", body={"to": "bob"}, options={"priority": 3, "key": None}), int)
        assert_type(mq.pools()[0].host, str)
        assert_type(mq.history("id", "mail"), MessageHistory)
        assert_type(mq.output("id", "mail"), str)
        assert_type(mq.activity("mail").oldest_waiting_s, Optional[float])
        assert_type(mq.metrics("mail", last_s=60).total.run.quantile_s(0.95), Optional[float])


async def publishes_from_asyncio() -> None:
    assert_type(await thumbnail.handle("id").acancel(), bool)
    assert_type(await thumbnail.apublish("a.png", width=100), Handle[str])
    assert_type(await fetch.using(priority=1).apublish("https://example.org"), Handle[bytes])
    assert_type(await thumbnail.apublish_many([("a.png",)]), List[Handle[str]])
    assert_type(await report.message(date(2026, 1, 1)).apublish(), Handle[Report])
    await app.aclose()
    async for handle in async_as_completed([await thumbnail.apublish("a.png")], timeout_s=5):
        assert_type(await handle.aresult(), str)
        assert_type((await handle.astatus()).state, str)
        assert_type((await handle.aexplain()).situation, str)
        assert_type((await handle.ahistory()).left_out, int)
        assert_type(await handle.aoutput(), str)
    await async_wait([await thumbnail.apublish("a.png")], "first")


def results() -> None:
    handle = report.publish(date(2026, 1, 1))
    assert_type(handle.result(timeout_s=timedelta(minutes=1)), Report)
    assert_type(fetch.publish("https://example.org").result(5), bytes)
    assert_type(handle.status().delivery, int)
    assert_type(handle.explain().sentence, str)
    assert_type(handle.history().entries, Tuple[HistoryEntry, ...])
    assert_type(report.using(output_ttl_s=60).publish(date(2026, 1, 1)).output(), str)
    assert_type(report.handle(handle.id).result(), Report)
    for done in as_completed([thumbnail.publish("a.png")]):
        assert_type(done.result(), str)
    done_handles, others = wait([handle], return_when="all", timeout_s=5)
    assert_type(done_handles, List[Handle[Any]])
    assert_type(others, List[Handle[Any]])
