"""The parts of the plugin: finding apps, the session's server, the pools."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Iterator

import psutil
import pytest
from redis import Redis

from bizzmq import App, BizzMQ, BrokerUnavailableError, ConfigurationError
from bizzmq.testing.wait import eventually
from bizzmq.testkit.app_finder import find_app, name_of
from bizzmq.testkit.pool import AppPools
from bizzmq.testkit.server import SessionServer

TASKS = """
from bizzmq import App

app = App()

@app.task
def note(): ...
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory with the modules user_tasks, two_apps and broken_tasks."""
    (tmp_path / "user_tasks.py").write_text(TASKS)
    (tmp_path / "two_apps.py").write_text(f"{TASKS}\nother = App()\n")
    (tmp_path / "broken_tasks.py").write_text("import nothing_of_this_name")
    yield tmp_path
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))
    for name in ("user_tasks", "two_apps", "broken_tasks"):
        sys.modules.pop(name, None)


def test_an_app_is_found_by_its_name_or_by_its_module_and_its_name_by_the_app(directory: Path) -> None:
    app = find_app("user_tasks:app", directory)

    assert isinstance(app, App)
    assert find_app("user_tasks", directory) is app
    assert name_of(app) == "user_tasks:app"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("user_tasks:application", "user_tasks has no app of this name"),
        ("user_tasks:note", "user_tasks has no app of this name"),
        ("user_tasks:", "does not name an app: write MODULE:APP"),
        (":app", "does not name an app"),
        ("user tasks", "does not name an app"),
        ("user_tasks.py", "there is no module 'user_tasks.py'"),
        ("nowhere:app", "there is no module 'nowhere'"),
        ("os", "os has no apps: write os:APP"),
        ("two_apps", "two_apps has 2 apps: write two_apps:APP"),
    ],
)
def test_what_names_no_app_is_refused_in_one_line(directory: Path, spec: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_app(spec, directory)

    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_import_that_fails_shows_its_own_error(directory: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
        find_app("broken_tasks:app", directory)


def test_an_app_that_is_no_variable_of_a_module_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(ModuleType):
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise AssertionError("a lazy object was loaded")

    lazy = ModuleType("holds_lazy_objects")
    lazy.value = Lazy("lazy")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holds_lazy_objects", lazy)
    monkeypatch.setitem(sys.modules, "no_module", SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="cannot import this app"):
        name_of(App())


def test_the_server_of_a_session_is_emptied_and_starts_again_after_its_end(tmp_path: Path) -> None:
    server = SessionServer(tmp_path / "data")
    try:
        with BizzMQ(server.url) as mq:
            mq.create_queue("q")
            server.flush()
            assert mq.queues() == []
            os.kill(_pid(server.url), signal.SIGKILL)
            eventually(lambda: server.flush() is None, 30.0, ignoring=(BrokerUnavailableError,))
            assert mq.queues() == []
            pid = _pid(server.url)
    finally:
        server.close()
    eventually(lambda: not psutil.pid_exists(pid), 60.0)


def test_a_pool_that_cannot_start_fails_with_its_log_and_leaves_no_process(directory: Path, url: str) -> None:
    app = find_app("user_tasks:app", directory)
    with app.testing(url):
        pools = AppPools(app, directory)
        try:
            with pytest.raises(AssertionError, match="--no-such-option"):
                pools.start(args=["--no-such-option"])
        finally:
            pools.close()
        (pool,) = pools.pools
        assert pool.exit_code == 2
        pool.assert_no_process_left()


def _pid(url: str) -> int:
    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])
