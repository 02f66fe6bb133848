"""Pools with modules that do not survive a fork: nothing hangs, no result is wrong, everything is logged."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.pool.command import OPERATOR, run
from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux shows the open objects of a process"
)
EACH = "each worker imports by itself"
StartPool = Callable[..., Pool]


class Home:
    """A directory with a user's module `app`, its pool, and the handlers' output file `out`."""

    def __init__(self, folder: Path, url: str, start: StartPool) -> None:
        self.folder, self.url, self._start = folder, url, start
        self.out = folder / "out"
        self.mq = BizzMQ(url)
        self.mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0, retry_backoff_s=0.0))

    def write(self, code: str, name: str = "app") -> None:
        preface = (
            f"OUT = {str(self.out)!r}\n\n"
            "def say(*words):\n    with open(OUT, 'a') as out:\n        print(*words, file=out)\n\n"
        )
        (self.folder / f"{name}.py").write_text(preface + code)

    def pool(
        self, *args: str, concurrency: int = 2, handler: str = "app:handler", ready: bool = True, **how: Any
    ) -> Pool:
        env = {"PYTHONPATH": str(ROOT), **how.pop("env", {})}
        pool = self._start(
            self.url, args=args, concurrency=concurrency, handler=handler, cwd=self.folder, env=env, **how
        )
        if ready:
            pool.wait_ready()
        return pool

    def handles_reloads_and_drains(self, pool: Pool) -> None:
        """Check that the pool handles one message, reloads once, and exits with 0."""
        self.mq.publish_message_to_queue("q", 1)
        self.handled(1)
        pool.signal(signal.SIGHUP)
        eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
        pool.signal(signal.SIGTERM)
        assert pool.wait(PATIENCE_S) == 0

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines() if self.out.exists() else []

    def handled(self, count: int) -> None:
        eventually(lambda: self.mq.stats("q").acked >= count, PATIENCE_S, lambda: str(self.mq.stats("q")))


@pytest.fixture
def home(tmp_path: Path, url: str, pool_factory: StartPool) -> Any:
    made = Home(tmp_path, url, pool_factory)
    yield made
    made.mq.close()


def test_several_workers_read_correctly_from_one_archive(home: Home) -> None:
    home.write(
        "import io, zipfile\n"
        "data = io.BytesIO()\n"
        "with zipfile.ZipFile(OUT + '.zip', 'w') as made:\n"
        "    for number in range(50):\n"
        "        made.writestr(str(number), str(number) * 20000)\n"
        "archive = zipfile.ZipFile(OUT + '.zip')\n"
        "def handler(number):\n"
        "    text = archive.read(str(number)).decode()\n"
        "    say('right' if text == str(number) * 20000 else 'wrong')\n"
    )
    pool = home.pool(concurrency=4)
    home.mq.publish_messages_to_queue("q", [number % 50 for number in range(400)])

    home.handled(400)

    assert Counter(home.lines()) == {"right": 400}
    assert pool.log().count(EACH) == 1
    assert ".zip, at byte" in pool.log()
    assert "bizzmq-worker --check-preload" in pool.log()


def test_random_generators_of_a_module_differ_in_each_worker(home: Home) -> None:
    home.write("import random, os\nrng = random.Random()\ndef handler(m):\n    say(rng.random(), random.random())\n")
    pool = home.pool(concurrency=4)
    home.mq.publish_messages_to_queue("q", [None] * 80)

    home.handled(80)

    drawn = [word for line in home.lines() for word in line.split()]
    assert len(set(drawn)) == 160
    assert "random generator: app.rng" in pool.log()


def test_a_pool_with_forced_preload_forks_and_logs_its_findings(home: Home) -> None:
    home.write("data = open(__file__)\ndef handler(m):\n    say('ok')\n")
    pool = home.pool("--preload=on")
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert EACH not in pool.log()
    assert pool.template_pid()
    assert "workers are forked as --preload on says, which this may not bear" in pool.log()
    assert "app.py, at byte 0" in pool.log()


def test_a_module_that_survives_a_fork_is_imported_once(home: Home) -> None:
    home.write("say('imported')\nimport bizzmq\nmq = bizzmq.BizzMQ(" + repr(home.url) + ")\nmq.create_queue('other')\n"
               "def handler(m):\n    mq.publish_message_to_queue('other', m)\n")  # fmt: skip
    pool = home.pool(concurrency=3)
    home.mq.publish_messages_to_queue("q", range(30))

    home.handled(30)

    assert home.lines() == ["imported"]
    assert home.mq.stats("other").published == 30
    assert "WARNING" not in pool.log().replace("running as root", "").replace("WARNING  ", "") or EACH not in pool.log()
    pool.signal(signal.SIGHUP)
    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    assert home.lines() == ["imported"] * 2
    assert EACH not in pool.log()


@pytest.mark.usually(1)
@pytest.mark.parametrize("when", ["before", "after_in_parent", "after_in_child"])
def test_a_fork_handler_that_hangs_does_not_stop_a_pool(home: Home, when: str) -> None:
    """Forks of the process that has imported the module hang, so each worker imports it itself."""
    home.write(
        "import os, time\n"
        "def hang():\n"
        "    import sys\n"
        "    if os.path.exists(OUT + '.once'):\n"
        "        return\n"
        "    open(OUT + '.once', 'w').close()\n"
        "    time.sleep(600)\n"
        f"os.register_at_fork({when}=hang)\n"
        "def handler(m):\n    say('ok')\n"
    )
    pool = home.pool(ready=False)
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert EACH in pool.log()
    assert "fork handler: " in pool.log()
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0


def test_a_template_that_is_stopped_is_replaced(home: Home) -> None:
    home.write("def handler(m):\n    say('ok')\n")
    pool = home.pool(concurrency=1)
    template = pool.template_pid()
    os.kill(template, signal.SIGSTOP)
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert "the template does not answer and is killed" in pool.log()
    assert pool.template_pid() != template


def test_a_template_that_is_stopped_while_it_imports_is_replaced(home: Home) -> None:
    home.write(
        "import os, signal, time\n"
        "if not os.path.exists(OUT + '.once'):\n"
        "    open(OUT + '.once', 'w').close()\n"
        "    os.kill(os.getpid(), signal.SIGSTOP)\n"
        "def handler(m):\n    say('ok')\n"
    )
    pool = home.pool(ready=False)
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    assert "the template was stopped while it imported, and is killed" in pool.log()


def test_processes_of_an_import_end_with_the_pool(home: Home) -> None:
    home.write(
        "import subprocess\n"
        "helper = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "say('helper', helper.pid)\n"
        "def handler(m):\n    pass\n"
    )
    pool = home.pool()
    pool.signal(signal.SIGHUP)
    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    started = [int(line.split()[1]) for line in home.lines()]
    assert len(started) >= 4
    eventually(lambda: not [pid for pid in started if psutil.pid_exists(pid)], PATIENCE_S)


def test_a_helper_of_a_template_that_is_safe_ends_with_it(home: Home) -> None:
    home.write(
        "import subprocess, bizzmq.preload\n"
        "helper = bizzmq.preload.safe(subprocess.Popen(['sleep', '600'], start_new_session=True))\n"
        "say('helper', helper.pid)\n"
        "def handler(m):\n    pass\n"
    )
    pool = home.pool()
    assert len(home.lines()) == 1
    pool.signal(signal.SIGHUP)
    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)

    first, second = (int(line.split()[1]) for line in home.lines())
    eventually(lambda: not psutil.pid_exists(first), PATIENCE_S)
    assert psutil.pid_exists(second)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    eventually(lambda: not psutil.pid_exists(second), PATIENCE_S)


def test_a_worker_that_makes_no_progress_in_its_first_message_is_named(home: Home) -> None:
    """For example a worker in which a library waits for threads that the fork did not copy."""
    home.write(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "lock = threading.Lock()\nlock.acquire()\n"
        "def handler(body):\n    if body == 'hang':\n        lock.acquire()\n"
    )
    pool = home.pool("--preload=on", f"--control={home.folder}/socket")
    home.mq.publish_message_to_queue("q", "hang")

    eventually(lambda: "makes no progress in its first message" in pool.log(), PATIENCE_S, pool.log)

    assert pool.log().count("makes no progress") == 1
    shown = run(OPERATOR, "pool", "--control", f"{home.folder}/socket")
    assert "makes no progress in its first message: try --preload off" in shown.out
