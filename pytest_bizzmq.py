"""The pytest plugin of BizzMQ: fixtures for tests of tasks (docs/guide/testing.md).

It is a module of its own, because pytest imports it in every project where BizzMQ is installed: nothing of BizzMQ is
imported before a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generator, Iterator

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from bizzmq import App
    from bizzmq.testkit.pool import AppPools
    from bizzmq.testkit.server import SessionServer
    from bizzmq.testkit.worker import InProcessWorker

_NO_APP = (
    "the fixture bizzmq_app does not know the app: write `bizzmq_app = tasks:app` into pytest's settings, or a fixture "
    "bizzmq_app of your own with `with app.testing(bizzmq_redis_url): yield app`"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting `bizzmq_app`."""
    parser.addini("bizzmq_app", "the app of the fixture bizzmq_app: MODULE:APP, such as tasks:app", default="")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Add the log of the test's pools to the report of a test that has failed."""
    outcome = yield
    pools = getattr(item, "funcargs", {}).get("bizzmq_pool")
    if pools is not None and outcome.get_result().failed:
        outcome.get_result().sections.append(("log of the pools", pools.log()))


@pytest.fixture(scope="session")
def bizzmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SessionServer]:
    """A real Redis or Valkey server for all tests of this process; the test is skipped if none is installed."""
    from bizzmq.testkit.server import SessionServer, missing_server  # noqa: PLC0415 - not before it is needed

    missing = missing_server()
    if missing:
        pytest.skip(missing)
    server = SessionServer(tmp_path_factory.mktemp("bizzmq-server"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def bizzmq_redis_url(bizzmq_server: SessionServer) -> str:
    """The URL of `bizzmq_server`, which is empty when the test starts."""
    bizzmq_server.flush()
    return bizzmq_server.url


@pytest.fixture
def bizzmq_app(request: pytest.FixtureRequest) -> Iterator[App]:
    """The app that the setting `bizzmq_app` names, connected to `bizzmq_server` for the time of the test.

    `bizzmq_app.published` is what the test has published. What the test changes in the app ends with it.
    """
    name = str(request.config.getini("bizzmq_app")).strip()
    if not name:
        pytest.fail(_NO_APP, pytrace=False)
    app = _found(name, request.config.rootpath)
    with app.testing(request.getfixturevalue("bizzmq_redis_url")):
        yield app


def _found(name: str, root: Path) -> App:
    from bizzmq.errors import ConfigurationError  # noqa: PLC0415 - not before it is needed
    from bizzmq.testkit.app_finder import find_app  # noqa: PLC0415

    try:
        return find_app(name, root)
    except ConfigurationError as error:
        return pytest.fail(f"the setting bizzmq_app: {error}", pytrace=False)


@pytest.fixture
def bizzmq_worker(bizzmq_app: App) -> Iterator[InProcessWorker]:
    """A worker of the app in the process of the test: `bizzmq_worker.run_until_idle()`.

    The hooks of the app for the start and the end of a worker are called before and after the test.
    """
    from bizzmq.testkit.worker import InProcessWorker  # noqa: PLC0415 - not before it is needed

    worker = InProcessWorker(bizzmq_app)
    worker.boot()
    try:
        yield worker
    finally:
        worker.shut_down()


@pytest.fixture
def bizzmq_pool(bizzmq_app: App, tmp_path: Path) -> Iterator[AppPools]:
    """Pools of real worker processes: `bizzmq_pool.start()` starts one. They are drained after the test."""
    from bizzmq.testkit.pool import AppPools  # noqa: PLC0415 - not before it is needed

    pools = AppPools(bizzmq_app, tmp_path)
    try:
        yield pools
    finally:
        pools.close()
