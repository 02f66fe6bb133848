"""Profiles: what running messages execute, sampled from outside, on real pools."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from bizzmq import App, AsyncBizzMQ, BizzMQ, ConfigurationError, DecodeError, NotRunningError
from bizzmq.protocol.profile import MOST_BYTES, OTHERS, Frame, Profile, joined, read_profile
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, run
from tests.support.paths import ROOT

CODE = """
import hashlib, time
from bizzmq import App

app = App()

def spin(seconds):
    until_s = time.process_time() + seconds
    while time.process_time() < until_s:
        pass

def short():
    spin(0.005)

def long():
    spin(0.015)

@app.task(queue="q", name="work")
def work(kind):
    if kind == "sleep":
        time.sleep(300)
    while kind == "cpu":
        short()
        long()
    while kind == "c":
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 3_000_000)
"""
PATIENCE_S = 30.0


@pytest.fixture
def pool(mq: BizzMQ, url: str, start_pool: Callable[..., Pool], tmp_path: Path) -> Iterator[Pool]:
    (tmp_path / "profiled_tasks.py").write_text(CODE)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    pool = start_pool(url, handler="profiled_tasks:app", of_app=True, concurrency=1, cwd=tmp_path,
                      env={"PYTHONPATH": path})  # fmt: skip
    pool.wait_ready()
    eventually(lambda: [one for one in mq.pools() if one.asked_on], PATIENCE_S)
    yield pool
    pool.kill_group()


@pytest.fixture
def start(url: str, mq: BizzMQ) -> Iterator[Callable[[str], str]]:
    """start(kind): a message of the task that runs."""
    app = App(url, queue="q")

    @app.task(name="work")
    def work(kind: str) -> None:
        """Stands for the task of the pool."""

    def started(kind: str) -> str:
        message = work.publish(kind).id
        eventually(
            lambda: [one for pool in mq.pools() for one in pool.running if one.message_id == message], PATIENCE_S
        )
        return message

    yield started
    app.close()


def shares(profile: Profile) -> dict[str, tuple[float, float]]:
    return {one.function: (one.own, one.total) for one in profile.functions()}


def test_a_sleeping_handler_a_busy_one_and_one_in_c_code(
    mq: BizzMQ, url: str, pool: Pool, start: Callable[[str], str], tmp_path: Path
) -> None:
    sleeping = start("sleep")
    asleep = mq.profile(sleeping, for_s=1)
    assert asleep.count >= 2
    assert shares(asleep) == {"work": (1.0, 1.0)}
    assert mq.cancel(sleeping)

    busy = start("cpu")
    found = shares(asyncio.run(of_task(url)))
    assert found["spin"][0] > 0.8
    assert found["long"][1] > 0.5  # three quarters, of samples of which a busy machine takes few
    assert found["short"][1] < 0.5
    assert mq.cancel(busy)

    in_c = start("c")
    out = tmp_path / "c.json"
    done = run(OPERATOR, "profile", in_c, "--for", "1s", "--output", str(out), BIZZMQ_REDIS_URL=url)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[2].split()[:3] == ["100.0%", "100.0%", "work"]
    assert_is_speedscopes(json.loads(out.read_text()))
    nothing = run(OPERATOR, "profile", "--task", "other", "--for", "0.2s", BIZZMQ_REDIS_URL=url)
    assert (nothing.code, nothing.err) == (1, "bizzmq: no sample of other: none of its messages has run meanwhile\n")


async def of_task(url: str) -> Profile:
    async with AsyncBizzMQ(url) as mq:
        return await mq.profile(task="work", for_s=6)


def assert_is_speedscopes(file: Any) -> None:
    """What the schema of speedscope's file format asks of a sampled profile."""
    (profile,) = file["profiles"]
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert {*file} == {"$schema", "name", "exporter", "activeProfileIndex", "shared", "profiles"}
    assert {*profile} == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert (profile["type"], profile["unit"]) == ("sampled", "seconds")
    assert len(profile["samples"]) == len(profile["weights"])
    assert sum(profile["weights"]) == profile["endValue"]
    assert all({*frame} == {"name", "file", "line"} for frame in file["shared"]["frames"])
    assert {index for stack in profile["samples"] for index in stack} == {*range(len(file["shared"]["frames"]))}


def test_a_profile_ends_with_its_message_also_if_its_worker_is_killed(
    mq: BizzMQ, pool: Pool, start: Callable[[str], str]
) -> None:
    message = start("c")
    with pytest.raises(NotRunningError):
        mq.profile("0" * 20)

    for killed_after_s in (2.0, 8.0, 20.0):  # on a busy machine the first sample may come late
        kill = threading.Timer(killed_after_s, lambda: os.kill(pool.worker_pids()[0], signal.SIGKILL))
        kill.start()
        profile = mq.profile(message, for_s=200)
        kill.join()
        if profile.count:
            break
        message = start("c")

    assert shares(profile)["work"][0] > 0.8  # the first samples may be of the way into the handler


@pytest.mark.parametrize(
    ("options", "text"),
    [({}, "name one of both"), ({"task": "t", "message_id": "m"}, "name one of both"),
     ({"task": "t", "for_s": 1000}, "for_s must be"), ({"task": "t", "for_s": 0}, "for_s must be")],
)  # fmt: skip
def test_what_cannot_be_profiled_is_refused(mq: BizzMQ, options: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        mq.profile(**options)


def test_an_encoded_profile_is_bounded_and_keeps_the_stacks_that_were_found_most_often() -> None:
    frames = [Frame(f"function_{number}", f"/srv/{'x' * 100}/{number}.py", number) for number in range(2000)]
    profile = Profile({(frames[0], frame): number + 1 for number, frame in enumerate(frames)}, 0.05, 3)

    data = profile.encode()
    read = read_profile(data)

    assert len(data) <= MOST_BYTES
    assert (read.count, read.missed, read.interval_s) == (profile.count, 3, 0.05)
    assert read.samples[frames[0], frames[-1]] == 2000
    assert OTHERS in read.samples
    assert joined([read, read]).count == 2 * profile.count
    for forged in (b"[]", b"[1,2,[],[[]],[1]]", b"[1,2,[],[[5]],[1]]", b"x"):
        with pytest.raises(DecodeError):
            read_profile(forged)
