"""Declaring tasks: names, and what cannot be a task."""

from __future__ import annotations

import importlib
import subprocess
import sys
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from bizzmq import App, BrokerUnavailableError, ConfigurationError, QueueOptions, Task
from tests.support.paths import ROOT


def plain(path: str, width: int = 200) -> str:
    """Makes a thumbnail."""
    return f"{path}:{width}"


class Methods:
    def method(self, path: str) -> None: ...

    @staticmethod
    def static(path: str) -> None: ...


def numbers() -> Iterator[int]:
    yield 1


async def async_numbers() -> Any:
    yield 1


@contextmanager
def opened() -> Iterator[int]:
    yield 1


@lru_cache
def cached(path: str) -> str:
    return path


def test_a_task_has_the_name_of_its_module_and_function_and_is_still_a_function() -> None:
    app = App()
    task = app.task(plain)
    assert isinstance(task, Task)
    assert task.name == f"{__name__}.plain"
    assert task.__doc__ == "Makes a thumbnail."
    assert task("a.png", width=1) == "a.png:1"
    assert list(app.tasks) == [task.name]
    assert list(app.queues) == ["default"]


def test_a_name_an_alias_and_a_queue_can_be_chosen() -> None:
    app = App(queue="mail")
    task = app.task(name="thumbnail", aliases=["thumb"], queue="images")(plain)
    app.task(name="other")(plain)
    assert (task.name, task.aliases, task.queue) == ("thumbnail", ("thumb",), "images")
    assert list(app.tasks) == ["thumbnail", "other"]
    assert list(app.queues) == ["images", "mail"]


def test_a_program_names_its_tasks_as_a_worker_imports_them(tmp_path: Path) -> None:
    program = "from bizzmq import App\napp = App()\n@app.task\ndef work(): ...\nprint(work.name)\n"
    (tmp_path / "jobs.py").write_text(program)
    for command in (["jobs.py"], ["-m", "jobs"]):
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=tmp_path, check=True,
                              env={"PYTHONPATH": str(ROOT)})  # fmt: skip
        assert done.stdout == "jobs.work\n"


def test_a_module_that_is_imported_again_declares_its_tasks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "declared_again.py").write_text("import its_app\n@its_app.app.task\ndef work(): ...\n")
    (tmp_path / "its_app.py").write_text("from bizzmq import App\napp = App()\n")
    monkeypatch.syspath_prepend(tmp_path)
    module: Any = importlib.import_module("declared_again")
    importlib.reload(module)
    assert len(module.its_app.app.tasks) == 1


@pytest.mark.parametrize("how", [{"name": "a"}, {"name": "b", "aliases": ["a"]}])
def test_two_tasks_of_one_name_are_refused(how: dict[str, Any]) -> None:
    def other() -> None: ...

    app = App()
    app.task(name="a")(plain)
    with pytest.raises(ConfigurationError, match=r"two tasks have the name 'a': .*test_declaration.py:\d+ and .*:\d+;"):
        app.task(**how)(other)
    assert list(app.tasks) == ["a"]


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda path: path, "a lambda cannot be a task"),
        (Methods.method, r"Methods\.method is a method"),
        (Methods.static, r"Methods\.static is a method"),
        (Methods().method, "is a method"),
        (numbers, "generator"),
        (async_numbers, "generator"),
        (opened, "context manager"),
        (cached, "cache"),
        (Methods, "must be a function"),
        (3, "must be a function"),
        ("plain", "must be a function"),
    ],
)
def test_what_a_worker_could_not_call_cannot_be_a_task(function: Any, text: str) -> None:
    app = App()
    with pytest.raises(ConfigurationError, match=text) as caught:
        app.task(function)
    assert "\n" not in str(caught.value)
    assert not app.tasks


def test_a_function_inside_another_one_needs_a_name() -> None:
    def nested() -> None: ...

    app = App()
    with pytest.raises(ConfigurationError, match="is inside another function"):
        app.task(nested)
    assert app.task(name="nested")(nested).name == "nested"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "a b"}, "the name of a task must be"),
        ({"name": "a" * 201}, "the name of a task must be"),
        ({"name": 3}, "the name of a task must be"),
        ({"aliases": "old"}, "aliases must be a list of names"),
        ({"aliases": [""]}, "the name of a task must be"),
        ({"queue": "a b"}, "bad queue name"),
        ({"queue": 3}, "queue must be"),
        ({"version": 0}, "version must be"),
        ({"version": True}, "version must be"),
        ({"priority": "high"}, "priority must be"),
        ({"max_retries": -1}, "max_retries must be"),
        ({"timeout_s": 0}, "timeout_s must be"),
        ({"result_ttl_s": -1}, "result_ttl_s must be"),
        ({"result_ttl_s": None}, "result_ttl_s must be"),
        ({"retry_on": ["ValueError"]}, "each of retry_on must be an exception class"),
        ({"retry_on": ()}, "retry_on must be an exception class"),
        ({"dead_letter_on": int}, "each of dead_letter_on must be an exception class"),
        ({"retry_delays_s": []}, "retry_delays_s must be a list of seconds"),
        ({"retry_delays_s": [1, -1]}, "each of retry_delays_s must be"),
        ({"retry_delays_s": "123"}, "retry_delays_s must be a list of seconds"),
        ({"retry_for_s": float("nan")}, "retry_for_s must be"),
    ],
)
def test_a_wrong_option_is_one_line_at_import(options: dict[str, Any], text: str) -> None:
    app = App()
    with pytest.raises(ConfigurationError, match=text) as caught:
        app.task(**options)(plain)
    assert "\n" not in str(caught.value)
    assert not app.tasks


@pytest.mark.parametrize("app_options", [{"queue": "a b"}, {"max_retries": "3"}, {"timeout_s": -1}, {"redis_url": 3}])
def test_a_wrong_option_of_the_app_is_one_line(app_options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        App(**app_options)
    assert "\n" not in str(caught.value)


def test_one_queue_has_one_set_of_options() -> None:
    app = App()
    assert app.queue("images", QueueOptions(max_retries=5)) == "images"
    app.queue("images")
    with pytest.raises(ConfigurationError, match="queue 'images' is declared twice: max_retries: asked 6, stored 5"):
        app.queue("images", QueueOptions(max_retries=6))
    assert app.queues == {"images": QueueOptions(max_retries=5)}


def test_an_upgrade_leads_to_a_declared_version() -> None:
    app = App()
    task = app.task(version=3)(plain)
    task.upgrade(1)(dict)
    for version, text in [(3, "leads to no version"), (1, "has an upgrade from version 1 already"), (0, "must be")]:
        with pytest.raises(ConfigurationError, match=text):
            task.upgrade(version)(dict)


def test_an_app_without_tasks_has_no_handler() -> None:
    with pytest.raises(ConfigurationError, match="the app has no tasks"):
        App().dispatcher()


def test_nothing_is_connected_before_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BIZZMQ_REDIS_URL", "BIZZMQ_REDIS_URL_FILE", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    task = App("redis://localhost:1").task(plain)
    with pytest.raises(BrokerUnavailableError):
        task.publish("a.png")


@pytest.mark.parametrize("declare", [lambda app: app.queue(3), lambda app: app.queue("a", {"max_retries": 3})])
def test_a_wrong_queue_is_refused(declare: Callable[[App], Any]) -> None:
    with pytest.raises(ConfigurationError):
        declare(App())


@pytest.mark.parametrize("hook", [3, plain])
def test_a_wrong_hook_is_refused(hook: Any) -> None:
    app = App()
    with pytest.raises(ConfigurationError):
        app.on_worker_boot(hook)
    with pytest.raises(ConfigurationError):
        app.on_worker_shutdown(hook)
