"""--capture-output: what a message writes to stdout and stderr is kept, reaches the log, and never waits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from bizzmq import QueueOptions
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.faults.test_p_output import dead, texts
from tests.faults.writing_handler import HANDLER

DEAD = QueueOptions(config_dead_letter_queue=True, max_retries=0)
KEPT = {"output_ttl_s": 600}


@pytest.fixture
def pool(scene: Scene) -> Pool:
    return scene.pool("--capture-output", "--max-crashes=1", handler=HANDLER, concurrency=1)


def relay_of(pool: Pool) -> int:
    return int(re.findall(r"output relay started pid=(\d+)", pool.log())[-1])


def written(scene: Scene, *bodies: Any) -> list[list[str]]:
    ids = scene.publish(*bodies, **KEPT)
    eventually(lambda: not scene.mq.stats(QUEUE).published - scene.mq.stats(QUEUE).acked, PATIENCE_S)
    return [texts(scene.mq.output(one)) for one in ids]


def test_lines_of_all_kinds_are_in_their_order_and_reach_the_log(scene: Scene, pool: Pool) -> None:
    bodies = [{"lines": [f"log {n}"], "prints": [f"print {n}"], "child": f"child {n}"} for n in range(3)]

    assert written(scene, *bodies) == [[f"INFO    log {n}", f"print {n}", f"child {n}"] for n in range(3)]
    eventually(lambda: "\nchild 2\n" in pool.log(), PATIENCE_S, pool.log)
    for n in range(3):
        assert pool.log().count(f"print {n}\n") == pool.log().count(f"child {n}\n") == 1
    scene.retire(pool)


def test_a_killed_workers_output_is_its_own(scene: Scene, pool: Pool) -> None:
    scene.mq.update_queue(QUEUE, DEAD)
    killed, silent = scene.publish({"prints": ["one"], "child": "two", "end": "kill"}, {"end": "kill"})
    (bytes_,) = scene.publish({"prints": ["\x1b[31m\x00"], "end": "kill"})

    dead(scene, killed, silent, bytes_)
    assert (scene.mq.output(killed), scene.mq.output(silent)) == ("one\ntwo\n", "")
    assert scene.mq.output(bytes_) == "\x1b[31m\x00\n"
    eventually(lambda: "\ntwo\n" in pool.log(), PATIENCE_S, pool.log)
    scene.retire(pool)


def test_nothing_waits_for_a_stopped_supervisor_or_relay_and_nothing_is_lost(scene: Scene, pool: Pool) -> None:
    lines = [f"{n} " + "x" * 1000 for n in range(3000)]
    for pid in (relay_of(pool), pool.supervisor_pid):
        os.kill(pid, signal.SIGSTOP)

    (kept,) = written(scene, {"count": 3000, "size": 1000})
    assert kept == lines[-len(kept) :]
    assert 60 < len(kept) < 66
    assert "2999 x" not in pool.log()

    os.kill(relay_of(pool), signal.SIGKILL)
    os.kill(pool.supervisor_pid, signal.SIGCONT)
    eventually(lambda: "\n2999 x" in pool.log(), PATIENCE_S, "the next relay to go on")
    assert re.findall(r"^(\d+) x{1000}$", pool.log(), re.MULTILINE) == [f"{n}" for n in range(3000)]
    scene.retire(pool)


def test_a_reader_that_does_not_read_stops_no_handler_and_memory_stays_bounded(scene: Scene, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as output:
        pool = scene.pool("--capture-output", handler=HANDLER, concurrency=1, output=output, ready=False)
    try:
        (kept,) = written(scene, {"count": 4000, "size": 10_000})
        assert kept[-1].startswith("3999 x")
    finally:
        os.close(reading)
        pool.kill_group()


def test_a_relay_frees_what_it_has_copied(scene: Scene, pool: Pool) -> None:
    before = psutil.Process(pool.supervisor_pid).memory_info().shared
    written(scene, {"count": 300, "size": 100_000})

    files = Path(f"/proc/{pool.supervisor_pid}/fd")
    captured = [one for one in files.iterdir() if "bizzmq-output" in os.readlink(one)]
    eventually(lambda: sum(one.stat().st_blocks for one in captured) * 512 < 1_000_000, PATIENCE_S, "the memory")
    assert sum(one.stat().st_size for one in captured) > 30_000_000
    assert psutil.Process(pool.supervisor_pid).memory_info().shared < before + 10_000_000
    scene.retire(pool)


def test_a_lost_supervisor_leaves_a_relay_until_the_last_worker(scene: Scene) -> None:
    pool = scene.pool("--capture-output", "--lease=1", "--drain-timeout=5", handler=HANDLER, concurrency=1)
    (message_id,) = scene.publish({"prints": ["begun"], "sleep": 2, "child": "begun"}, **KEPT)
    relay = relay_of(pool)
    eventually(lambda: "\nbegun\nbegun\n" in pool.log(), PATIENCE_S, pool.log)

    os.kill(pool.supervisor_pid, signal.SIGKILL)

    eventually(lambda: scene.mq.output(message_id) == "begun\nbegun\n", PATIENCE_S, pool.log)
    eventually(
        lambda: not psutil.pid_exists(relay) or psutil.Process(relay).status() == "zombie", PATIENCE_S, "its end"
    )


def test_separate_streams_stay_apart(scene: Scene, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        scene.publish({"prints": ["to out"], "child": "to err"}, **KEPT)
        command = [
            sys.executable, "-m", "bizzmq.workers", "--capture-output", "--burst", "-q", QUEUE, "-c", "1",
            "--redis-url", scene.url, HANDLER,
        ]  # fmt: skip
        assert subprocess.run(command, stdout=out, stderr=err, check=False).returncode == 0

    assert (tmp_path / "out").read_text() == "to out\n"
    assert "\nto err\n" in (tmp_path / "err").read_text()
