"""`bizzmq-worker tasks:app`: a pool of an app, as users start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Callable, Iterator

import psutil
import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.pool import Pool
from bizzmq.testing.spawn import spawn
from bizzmq.testing.wait import eventually
from tests.app.app_programs import Code, Finished, _write, code, published, stored, worker
from tests.support.paths import ROOT

__all__ = ["code"]

SOON_S = 30.0
TWO_QUEUES = """
    from bizzmq import App, QueueOptions

    app = App()
    app.queue("images", QueueOptions(config_dead_letter_queue=True, max_retries=5))

    @app.task(queue="images")
    def thumbnail(path: str, width: int = 200) -> None:
        print("thumbnail", path, width)

    @app.task(queue="mail", aliases=("tasks.post",))
    def mail(to: str) -> None:
        print("mail", to)
"""


@pytest.mark.parametrize("target", ["tasks:app", "tasks"])
def test_a_pool_of_an_app_works_on_all_its_queues_with_their_options(
    url: str, pool_factory: Callable[..., Pool], code: Code, target: str
) -> None:
    directory = code(TWO_QUEUES)
    pool = pool_factory(url, cwd=directory, handler=target, queue=["images", "mail"], of_app=True)
    pool.wait_ready()

    published(directory, url, "tasks.thumbnail.publish('a.png'), tasks.mail.publish('ada')")

    eventually(lambda: "thumbnail a.png 200" in pool.log() and "mail ada" in pool.log(), SOON_S, pool.log)
    assert "queues=images,mail" in pool.log()
    assert stored(url, "images") == QueueOptions(config_dead_letter_queue=True, max_retries=5)


@pytest.mark.parametrize("mode", ["--preload=off", "--preload=on", "--burst"])
def test_every_way_to_run_a_pool_runs_an_app(
    url: str, pool_factory: Callable[..., Pool], code: Code, mode: str
) -> None:
    directory = code(TWO_QUEUES)
    published(directory, url, "tasks.thumbnail.publish('a.png'), tasks.mail.publish('ada')")
    pool = pool_factory(url, cwd=directory, handler="tasks:app", queue=["images", "mail"], of_app=True, args=[mode])

    eventually(lambda: "thumbnail a.png 200" in pool.log() and "mail ada" in pool.log(), SOON_S, pool.log)
    if mode == "--burst":
        assert pool.wait() == 0


def test_q_narrows_and_orders_the_queues_of_an_app(url: str, pool_factory: Callable[..., Pool], code: Code) -> None:
    pool = pool_factory(url, cwd=code(TWO_QUEUES), handler="tasks:app", queue=["mail", "images_dlq"])
    pool.wait_ready()

    assert "queues=mail,images_dlq" in pool.log()


@pytest.mark.parametrize(
    ("target", "line", "exit_code"),
    [
        (["tasks:app", "-q", "images", "-q", "other"], "the app has no queue 'other'; it has images, mail", 2),
        (["tasks:thumbnail"], "the handler tasks:thumbnail is a task: a pool runs its app, tasks:app", 3),
        (["empty:app"], "the app has no tasks: import the modules that declare them, beside the app", 3),
        (["several"], "module 'several' has several apps: name one, several:one or several:other", 3),
        (["none"], "module 'none' has no App; a handler is named as none:CALLABLE, such as none:handler", 3),
        (["absent"], "there is no module 'absent' here; is it in {here}?", 3),
        (["tasks:missing"], "module 'tasks' has no 'missing': it is {here}/tasks.py", 3),
        (["exits:app"], "importing 'exits' exits, as code that reads the command line may: SystemExit: 7", 3),
        (["dies:app"], "the handler cannot be imported: its process exited with code 9 while doing so", 3),
        (["killed:app"], "the handler cannot be imported: its process was killed by SIGKILL while doing so", 3),
        (["raises:app"], "importing 'raises' failed: ValueError: no luck", 3),
        (["tasks:app", "--debug"], "--debug works on one queue: name it with -q (the app has images, mail)", 2),
    ],
)
def test_a_target_that_cannot_run_is_refused_in_one_line(
    url: str, code: Code, target: list[str], line: str, exit_code: int
) -> None:
    directory = code(TWO_QUEUES)
    _write(directory / "empty.py", "from bizzmq import App\napp = App()")
    _write(directory / "several.py", "from bizzmq import App\none = App()\nagain = one\nother = App()")
    _write(directory / "none.py", "import tasks")
    _write(directory / "exits.py", "import sys\nprint('seen')\nsys.exit(7)\napp = None")
    _write(directory / "dies.py", "import os\napp = os._exit(9)")
    _write(directory / "killed.py", "import os\napp = os.kill(os.getpid(), 9)")
    _write(directory / "raises.py", "app = None\nraise ValueError('no luck')")

    ended = worker(directory, *target, f"--redis-url={url}")

    assert ended.code == exit_code, ended.err
    assert ended.err.splitlines()[-1] == f"bizzmq-worker: {line.format(here=directory)}"
    if "exits" in target[0]:
        assert ended.out == "seen\n"
    if "raises" in target[0]:
        assert ended.err.count("Traceback") == 1


def test_what_an_import_prints_is_shown_once(url: str, pool_factory: Callable[..., Pool], code: Code) -> None:
    text = TWO_QUEUES.replace("app = App()", 'app = App()\n    print("printed", flush=True)')
    pool = pool_factory(url, cwd=code(text), handler="tasks:app", queue=["images", "mail"], of_app=True)
    pool.wait_ready()

    assert pool.log().count("printed") == 1


HANGS = """
import os, pathlib, subprocess, sys, time

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid}")
app = time.sleep(600)
"""


@pytest.fixture
def hanging(url: str, code: Code) -> Iterator[subprocess.Popen[bytes]]:
    """A command whose handler never imports, and the processes of that import in `pids`."""
    directory = code(HANGS)
    with (directory / "log").open("wb") as log:
        process = spawn(
            [sys.executable, "-m", "bizzmq.workers", "tasks:app", f"--redis-url={url}"], log, cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, new_session=True,
        )  # fmt: skip
    pids = directory / "pids"
    try:
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, SOON_S)
        process.pids = [int(pid) for pid in pids.read_text().split()]
        yield process
    finally:
        process.kill()
        process.wait()
        for pid in getattr(process, "pids", []):
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_request_to_end_ends_an_import_that_hangs_and_what_it_has_started(
    hanging: subprocess.Popen[bytes], number: signal.Signals
) -> None:
    hanging.send_signal(number)

    assert hanging.wait(SOON_S) == 0
    eventually(lambda: not any(map(psutil.pid_exists, hanging.pids)), SOON_S)


def test_the_importing_process_dies_with_the_command(hanging: subprocess.Popen[bytes]) -> None:
    hanging.kill()
    hanging.wait()

    eventually(lambda: not psutil.pid_exists(hanging.pids[0]), SOON_S)


def test_a_module_that_connects_while_it_is_imported_finds_the_server_of_the_pool(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    text = "import os\nos.environ['REDIS_URL'] = 'redis://localhost:1'\nfrom bizzmq import BizzMQ\nBizzMQ().close()\n"
    directory = code(TWO_QUEUES)
    _write(directory / "tasks.py", text + "import apps\napp = apps.app")
    _write(directory / "apps.py", TWO_QUEUES)
    pool = pool_factory(url, cwd=directory, handler="tasks:app", queue=["images", "mail"], of_app=True)

    pool.wait_ready()


def test_the_url_of_the_app_is_used_unless_another_one_is_given(
    url: str, redis: Redis, pool_factory: Callable[..., Pool], code: Code
) -> None:
    away = "redis://localhost:1"
    given = code(TWO_QUEUES.replace("App()", f"App({away!r})"))
    pool = pool_factory(url, cwd=given, handler="tasks:app", queue="mail")
    pool.wait_ready()

    own = code(TWO_QUEUES.replace("App()", f"App({url!r})"))
    ended = worker(own, "tasks:app", "--burst")

    assert ended.code == 0, ended.err
    assert url not in ended.err
    assert redis.exists("bizzmq:{images}:meta")


def test_an_app_publishes_to_the_server_of_the_pool_that_runs_it(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    text = TWO_QUEUES.replace("App()", "App('redis://localhost:1')").replace(
        'print("thumbnail", path, width)', "mail.publish(path)"
    )
    directory = code(text)
    pool = pool_factory(url, cwd=directory, handler="tasks:app", queue=["images", "mail"], of_app=True)
    pool.wait_ready()

    published(directory, url, "tasks.thumbnail.publish('a.png')")

    eventually(lambda: "mail a.png" in pool.log(), SOON_S, pool.log)


def test_other_options_in_redis_are_a_warning_that_names_both(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("images", QueueOptions(max_retries=7))
        pool = pool_factory(url, cwd=code(TWO_QUEUES), handler="tasks:app", queue=["images", "mail"], of_app=True)
        pool.wait_ready()

    line = next(line for line in pool.log().splitlines() if "exists with other options" in line)
    assert "max_retries: asked 5, stored 7" in line
    assert pool.log().count("exists with other options") == 1
    assert stored(url, "images").max_retries == 7


def test_a_queue_that_nobody_has_chosen_options_for_takes_the_declared_ones(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    first = pool_factory(url, cwd=code("def handler(body):\n    pass"), handler="tasks:handler", queue="images")
    first.wait_ready()
    assert stored(url, "images").max_retries == 3

    second = pool_factory(url, cwd=code(TWO_QUEUES), handler="tasks:app", queue=["images", "mail"], of_app=True)
    second.wait_ready(registered=4)

    assert stored(url, "images").max_retries == 5


def test_declared_options_are_restored_after_redis_was_emptied(
    url: str, redis: Redis, pool_factory: Callable[..., Pool], code: Code
) -> None:
    pool = pool_factory(
        url, cwd=code(TWO_QUEUES), handler="tasks:app", queue=["images", "mail"], of_app=True, args=["--lease=3"]
    )
    pool.wait_ready()

    redis.flushdb()

    eventually(lambda: redis.exists("bizzmq:{images}:meta"), SOON_S, pool.log)
    assert stored(url, "images").max_retries == 5


def test_a_reload_brings_new_tasks_and_options_and_warns_of_new_queues(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    directory = code(TWO_QUEUES)
    pool = pool_factory(url, cwd=directory, handler="tasks:app", queue=["images", "mail"], of_app=True)
    pool.wait_ready()
    text = (
        TWO_QUEUES.replace("max_retries=5", "max_retries=6")
        + """
    @app.task(queue="mail")
    def later(to: str) -> None:
        print("later", to)

    @app.task(queue="new")
    def on_a_new_queue() -> None:
        pass
"""
    )
    _write(directory / "tasks.py", text)

    pool.signal(signal.SIGHUP)
    eventually(lambda: "reload is over" in pool.log() or pool.log().count("worker ready") >= 4, SOON_S, pool.log)
    published(directory, url, "tasks.later.publish('ada')")

    eventually(lambda: "later ada" in pool.log(), SOON_S, pool.log)
    eventually(lambda: "asked 6, stored 5" in pool.log(), SOON_S, pool.log)
    assert pool.log().count("the app has new queues: restart the pool to serve them queues=new") == 1


def test_hooks_and_state_of_an_app_live_as_long_as_a_worker(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    directory = code("""
    from bizzmq import App

    app = App()

    @app.on_worker_boot
    def open_engine():
        app.state.engine = "engine"

    @app.on_worker_shutdown
    def close_engine():
        print("closed", app.state.engine, flush=True)

    @app.task
    def work() -> None:
        print("worked with", app.state.engine, flush=True)
    """)
    pool = pool_factory(
        url, cwd=directory, handler="tasks:app", queue="default", of_app=True, concurrency=1, args=["--max-messages=1"]
    )
    pool.wait_ready()

    published(directory, url, "tasks.work.publish()")

    eventually(lambda: "closed engine" in pool.log(), SOON_S, pool.log)  # it was recycled
    eventually(lambda: pool.log().count("worker ready") >= 2, SOON_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait() == 0
    assert pool.log().count("worked with engine") == 1
    assert pool.log().count("closed engine") == 2


def test_a_boot_hook_of_an_app_that_fails_is_the_failure_of_the_pool(url: str, code: Code) -> None:
    directory = code("""
    from bizzmq import App

    app = App()

    @app.on_worker_boot
    def open_engine():
        raise ValueError("no engine")

    @app.task
    def work() -> None:
        pass
    """)

    ended = worker(directory, "tasks:app", f"--redis-url={url}", "-c1")

    assert ended.code == 3
    assert "the hook tasks.open_engine (on_worker_boot) failed: ValueError: no engine" in ended.err


def test_a_pool_in_a_program_works_on_the_queues_of_its_app(url: str, code: Code) -> None:
    directory = code(TWO_QUEUES)
    published(directory, url, "tasks.thumbnail.publish('a.png'), tasks.mail.publish('ada')")
    _write(
        directory / "program.py",
        """
    import sys

    import tasks
    from bizzmq.workers import Supervisor, WorkerConfig

    if __name__ == "__main__":
        target = tasks.app if sys.argv[2] == "app" else "tasks:app"
        config = WorkerConfig(target, concurrency=1, redis_url=sys.argv[1], burst=True)
        print("exit code", Supervisor(config).run())
    """,
    )

    for target in ("app", "name"):
        ended = Finished(["program", url, target], directory)
        assert "exit code 0" in ended.out, ended.err

    assert sorted(line for line in ended.out.splitlines() if "exit" not in line) == []


def test_a_task_is_no_handler_of_a_pool_in_a_program(code: Code) -> None:
    directory = code(TWO_QUEUES)
    _write(
        directory / "program.py",
        """
    import tasks
    from bizzmq.workers import WorkerConfig

    WorkerConfig(tasks.thumbnail)
    """,
    )

    ended = Finished(["program"], directory)

    assert "ConfigurationError: the handler is a task: a pool runs its app" in ended.err


def test_check_preload_looks_at_an_app(url: str, code: Code) -> None:
    ended = worker(code(TWO_QUEUES), "tasks:app", "--check-preload", f"--redis-url={url}")

    assert ended.code == 0, ended.err


def test_a_debugged_worker_runs_an_app(url: str, code: Code) -> None:
    directory = code(TWO_QUEUES)
    published(directory, url, "tasks.thumbnail.publish('a.png')")

    ended = worker(directory, "tasks:app", "--debug", "--burst", "-q", "images", f"--redis-url={url}")

    assert ended.code == 0, ended.err
    assert "thumbnail a.png 200" in ended.out
    assert stored(url, "images").max_retries == 5
