"""Schedules that an app declares: what is refused at import, and what a pool stores and marks."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import App, ArgumentsError, BizzMQ, ConfigurationError, Context
from bizzmq.app.description import AppDescription
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually

SOON_S = 30.0
OPTIONS = {"every_s": 60}


def app_with_tasks(url: str | None = None) -> App:
    app = App(url)

    @app.task(name="tick")
    def tick(times: int = 1) -> None: ...

    @app.task(name="ping", queue="other")
    def ping(context: Context, region: str) -> None: ...

    return app


@pytest.mark.parametrize(("options", "problem"), [
    ({}, "a schedule needs either cron or every_s"),
    ({"cron": "0 3 * * *", "every_s": 5}, "a schedule needs either cron or every_s"),
    ({"every_s": 0.5}, "every_s must be"),
    ({"every_s": "60"}, "every_s must be a number of seconds"),
    ({"every_s": 60, "timezone": "Europe/Berlin"}, "timezone belongs to cron"),
    ({"cron": "0 0 31 2 *"}, "never fires"),
    ({"cron": "0 0 1 * *", "timezone": "Mars"}, "timezone must be"),
    ({"every_s": 60, "missed": "never"}, "missed must be last, skip or all"),
    ({"every_s": 60, "overlap": "no"}, "overlap must be allow, skip or queue-one"),
    ({"every_s": 60, "jitter_s": -1}, "jitter_s must be"),
])  # fmt: skip
def test_invalid_options_are_refused_where_they_are_written(options: Any, problem: str) -> None:
    app = app_with_tasks()

    with pytest.raises(ConfigurationError, match=problem):
        app.schedule(**options)
    with pytest.raises(ConfigurationError, match=problem):
        app.schedule("s", app.tasks["tick"].message(), **options)


def test_two_schedules_of_one_name_are_refused_with_both_places() -> None:
    app = app_with_tasks()
    app.schedule("s", app.tasks["tick"].message(), every_s=60)

    with pytest.raises(ConfigurationError, match=r"two schedules have the name 's': .*test_app.py:\d+ and .*:\d+"):
        app.schedule("s", app.tasks["tick"].message(2), every_s=60)


@pytest.mark.parametrize("name", ["", "a b", "x" * 201, "a\n", 5])
def test_an_invalid_name_is_refused(name: Any) -> None:
    app = app_with_tasks()

    with pytest.raises(ConfigurationError, match="the name of a schedule"):
        app.schedule(name, app.tasks["tick"].message(), every_s=60)


def test_what_is_no_task_of_the_app_is_refused() -> None:
    app, other = app_with_tasks(), app_with_tasks()

    with pytest.raises(ConfigurationError, match="belongs to another app"):
        app.schedule("s", other.tasks["tick"].message(), every_s=60)
    with pytest.raises(ConfigurationError, match=r"belongs above @app.task, not above"):
        app.schedule(every_s=60)(len)  # type: ignore[type-var]
    with pytest.raises(ConfigurationError, match=r"message must be what task.message\(...\) returns"):
        app.schedule("s", {"region": "eu"}, every_s=60)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=r"task 'ping' needs region: declare app.schedule"):
        app.schedule(every_s=60)(app.tasks["ping"])
    with pytest.raises(ArgumentsError):
        app.schedule("s", app.tasks["ping"].message(), every_s=60)


def test_options_that_mean_nothing_later_are_refused() -> None:
    app = app_with_tasks()
    tick = app.tasks["tick"]

    with pytest.raises(ConfigurationError, match="needs a delay_s in seconds, not a datetime"):
        app.schedule("s", tick.using(delay_s=datetime.now(timezone.utc)).message(), every_s=60)
    with pytest.raises(ConfigurationError, match="cannot have confirm"):
        app.schedule("s", tick.using(confirm="aof").message(), every_s=60)


def test_the_description_of_an_app_has_its_schedules_also_after_json() -> None:
    app = app_with_tasks()
    app.schedule("nightly", cron="0 3 * * *", timezone="Europe/Berlin", missed="all", overlap="skip", jitter_s=2)(
        app.tasks["tick"]
    )
    app.schedule("ping-é", app.tasks["ping"].using(priority=3, delay_s=5).message("eu"), every_s=60)

    found = AppDescription.of_data(app.dispatcher().describe())

    assert [*app.schedules] == ["nightly", "ping-é"]
    assert found.schedules_of("default") == app.schedules_of("default")
    (ping,) = found.schedules_of("other")
    assert (ping.name, ping.priority, ping.delay_ms, ping.app) == ("ping-é", 3, 5000, app.module)


def test_declaring_stores_marks_and_prunes(url: str, mq: BizzMQ) -> None:
    before = app_with_tasks(url)
    before.schedule("kept", before.tasks["tick"].message(), every_s=60)
    before.schedule("gone", before.tasks["tick"].message(), every_s=60)
    assert sorted(before.declare_schedules()) == ["gone", "kept"]
    assert before.declare_schedules() == []
    mq.schedule("by-hand", "default", 1, every_s=60)
    kept = mq.show_schedule("kept")

    after = app_with_tasks(url)
    after.schedule("kept", after.tasks["tick"].message(2), every_s=60)
    assert sorted(after.declare_schedules()) == ["gone", "kept"]

    states = {one.name: one.state for one in mq.schedules()}
    assert states == {"kept": "active", "gone": "undeclared", "by-hand": "active"}
    assert mq.show_schedule("kept").next_at_s == kept.next_at_s
    assert mq.show_schedule("kept").body == {"times": 2}
    assert [one.name for one in mq.prune_schedules()] == ["gone"]
    assert sorted(one.name for one in mq.schedules()) == ["by-hand", "kept"]
    for app in (before, after):
        app.close()


def test_a_declaration_that_comes_back_is_no_longer_marked(url: str, mq: BizzMQ) -> None:
    app, without = app_with_tasks(url), app_with_tasks(url)
    app.schedule("s", app.tasks["tick"].message(), every_s=60)
    without.schedule("t", without.tasks["tick"].message(), every_s=60)

    for one in (app, without, app):
        one.declare_schedules()
        one.close()

    assert {one.name: one.state for one in mq.schedules()} == {"s": "active", "t": "undeclared"}


CODE = """
from bizzmq import App
app = App()

@app.schedule(every_s=1)
@app.task
def tick() -> None:
    print("ticked", flush=True)
"""


def test_a_pool_stores_the_schedules_of_its_app_and_fires_them_also_after_redis_has_lost_its_data(
    url: str, redis: Redis, pool_factory: Callable[..., Pool], tmp_path: Path
) -> None:
    (tmp_path / "scheduled.py").write_text(CODE)
    pool = pool_factory(url, handler="scheduled:app", queue="default", of_app=True, cwd=tmp_path, args=["--lease=2"])
    eventually(lambda: pool.log().count("ticked") >= 2, SOON_S, pool.log)

    redis.flushall()

    seen = pool.log().count("ticked")
    eventually(lambda: pool.log().count("ticked") >= seen + 2, SOON_S, pool.log)
    assert "schedules of the app stored" in pool.log()
