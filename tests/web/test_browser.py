"""The dashboard in a real Chromium: live, by keyboard, accessible, and quiet under its policy."""

from __future__ import annotations

import linecache
import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator
from urllib.parse import quote

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.profile import Frame, KeptProfile, Profile
from bizzmq.testing.wait import eventually
from bizzmq.web import dashboard
from tests.support.paths import ROOT
from tests.web.browser import AXE_VARIABLE, CHROMIUM, Watched, axe_source, violations
from tests.web.conftest import Serving
from tests.web.past import write_past, write_pool
from tests.web.site import PASSWORD

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: it is in the extra `test` from Python 3.11 on"
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH: apt-get install chromium")

PICTURES = ROOT / "docs" / "operations" / "pictures"
PICTURES_VARIABLE = "BIZZMQ_TEST_PICTURES"
"""If it is set, the pictures of docs/ are taken anew."""
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-lcd-text"]
"""The last one makes pictures small: text without coloured edges."""
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    source = axe_source(tmp_path_factory.mktemp("axe"))
    if not source:
        pytest.skip(f"axe-core cannot be had: npm is missing or offline, and {AXE_VARIABLE} names no file")
    return source


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Watched]]:
    """Open a page in a browser of its own: open_page(url, width=390, theme="dark")."""
    contexts: list[Any] = []

    def start(
        url: str, *, width: int = 1440, theme: str = "light", password: str = PASSWORD, name: str = "Ada"
    ) -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, base_url=url)
        context.set_default_timeout(30_000)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto("/")
        if password:
            watched.page.fill("#name", name)
            watched.page.fill("#password", password)
            watched.page.keyboard.press("Enter")
            watched.page.wait_for_selector("#live")
        return watched

    yield start
    for context in contexts:
        context.close()


@pytest.fixture
def scene(mq: BizzMQ, redis: Redis, broker: Broker) -> Iterator[dict[str, str]]:
    """Queues of all kinds, dead letters, a pool that is busy, schedules."""
    for name in ("mail", "reports", "thumbnails", "webhooks", "billing.invoices", "search-index", "exports"):
        mq.create_queue(name, QueueOptions(config_dead_letter_queue=True, max_retries=0, history=True))
    for number in range(24):
        mq.publish_message_to_queue(
            "billing.invoices", {"invoice": 4100 + number, "tenant": f"tenant-{number % 4}"},
            MessageOptions(key=f"tenant-{number % 4}"),
        )  # fmt: skip
    mq.consume_until_empty("billing.invoices", _user_code(), 60)
    mq.publish_messages_to_queue("webhooks", [{"url": "https://example.org"}] * 3, MessageOptions(delay_s=3600))
    mq.publish_message_to_queue("reports", {"month": "2026-11"})
    release = threading.Event()
    stop = mq.consume_message_from_queue("mail", lambda _body: release.wait(120))
    ids = mq.publish_messages_to_queue("mail", [{"to": f"user-{number}@example.org"} for number in range(120)])
    write_past(redis, "thumbnails", {"shop.tasks.thumbnail": 0.8, "shop.tasks.resize": 0.2, "shop.tasks.sign": 0.02},
               deaths=3)  # fmt: skip
    write_past(redis, "search-index", {"shop.tasks.index": 1.6})
    pool = write_pool(broker, "thumbnails")
    mq.schedule("cleanup", "exports", {"days": 30}, every_s=900)
    letter = mq.dead_letters("billing.invoices").messages[0].id
    redis.hset(QueueKeys("billing.invoices").profiles, letter, _profile().encode())
    yield {"letter": letter, "waiting": ids[-1], "pool": quote(pool, safe="")}
    release.set()
    stop()


# The pictures show this file and its lines, wherever the tests are.
_TASKS, _FILE = (
    """
def send_invoice(body):
    number = body["invoice"]
    if number % 3 == 0:
        raise ConnectionError("the bank has closed the connection")
    if number % 3 == 1:
        raise KeyError(f"iban of {body['tenant']}")
    raise ValueError(f"the amount of invoice {number} is negative")
""",
    "/srv/billing/tasks.py",
)


def _profile() -> KeptProfile:
    called = {"connect": 41, "read_answer": 130, "parse": 29}
    first = Frame("send_invoice", _FILE, 3)
    stacks = {(first, Frame(name, "/srv/billing/bank.py", 10)): count for name, count in called.items()}
    return KeptProfile(Profile(stacks, 0.05), 1, "host/1", 12.5, time.time())


def _user_code() -> Callable[[Any], None]:
    linecache.cache[_FILE] = (len(_TASKS), None, _TASKS.splitlines(keepends=True), _FILE)
    names: dict[str, Any] = {}
    exec(compile(_TASKS, _FILE, "exec"), names)
    handler: Callable[[Any], None] = names["send_invoice"]
    return handler


def _paths(scene: dict[str, str]) -> list[str]:
    letter = f"/queues/billing.invoices/messages/{scene['letter']}"
    return [
        "/", "/queues/mail", "/queues/billing.invoices?state=dead_lettered", letter, f"{letter}/edit",
        f"/queues/mail/messages/{scene['waiting']}", "/failures", "/pools", f"/pools/{scene['pool']}", "/schedules",
        "/jobs", "/log", "/cost", "/queues/mail/options", "/queues/none",
    ]  # fmt: skip


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_every_page_is_accessible_and_keeps_its_policy(
    open_page: Callable[..., Watched], alone: Serving, scene: dict[str, str], axe: str, theme: str, width: int
) -> None:
    watched = open_page(alone.url, theme=theme, width=width)

    for path in [*_paths(scene), _searched(watched.page)]:
        weight = _weigh(watched, path)
        assert violations(watched.page, axe) == [], path
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert weight < 150_000, path
    assert watched.complaints == []


def _searched(page: Any) -> str:
    """Search in the bodies of a queue, as a reader does; the path of the job."""
    page.goto("/queues/mail")
    page.fill("#f-body", "USER-1")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 .state:has-text('done')")
    assert page.locator("#found tbody tr").count() == 31  # 1, 10 to 19, 100 to 119; the first one runs
    return str(page.evaluate("location.pathname"))


def _weigh(watched: Watched, path: str) -> int:
    """Load a page; the bytes of it and of all that it needs."""
    sizes: list[int] = []
    keep = lambda answer: sizes.append(int(answer.headers.get("content-length", 0)))  # noqa: E731 - removed below
    watched.page.on("response", keep)
    watched.page.goto(path)
    watched.page.wait_for_load_state("load")
    watched.page.remove_listener("response", keep)
    return sum(sizes)


def test_numbers_change_while_a_page_is_open_and_the_focus_stays(
    open_page: Callable[..., Watched], alone: Serving, mq: BizzMQ, queue: str
) -> None:
    page = open_page(alone.url).page
    page.fill("#q", "half a wor")
    page.focus("#q")

    mq.publish_messages_to_queue(queue, [{"n": n} for n in range(7)])
    page.wait_for_selector("tr[data-key=q] td:has-text('7')")
    mq.create_queue("another")
    page.wait_for_selector("tr[data-key=another]")

    assert page.evaluate("document.activeElement.id") == "q"
    assert page.input_value("#q") == "half a wor"
    assert "no worker" in page.inner_text(".troubles")


def test_by_keyboard_alone_a_letter_is_found_replayed_and_another_deleted(
    open_page: Callable[..., Watched], alone: Serving, mq: BizzMQ, failed: Any
) -> None:
    first, second = failed(2)
    page = open_page(alone.url).page

    _tab_to(page, "dead letters", key="Enter", selector="a[href='/queues/q?state=dead_lettered']")
    page.wait_for_selector("#messages")
    _tab_to(page, first, key="Enter", selector=f"a[href$='{first}']")
    page.wait_for_selector(".sentence")
    _tab_to(page, "Replay", key="Enter", selector="button:has-text('Replay')")
    page.wait_for_selector("#notice:has-text('Replayed.')")
    assert mq.status("q", first).state == "waiting"

    page.goto(f"/queues/q/messages/{second}")
    _tab_to(page, "Delete", key="Enter", selector="button.danger")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.textContent") == "Keep as it is"
    page.keyboard.press("Escape")
    assert mq.find(second) is not None
    _tab_to(page, "Delete", key="Enter", selector="button.danger")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#notice:has-text('Deleted.')")
    assert mq.find(second) is None


def _tab_to(page: Any, what: str, *, key: str, selector: str) -> None:
    """Press Tab until an element has the focus, then a key."""
    for _ in range(80):
        if page.evaluate("(wanted) => !!document.activeElement && document.activeElement.matches(wanted)",
                         selector.partition(":has-text")[0]) and (
            ":has-text" not in selector or what in page.evaluate("document.activeElement.textContent")
        ):  # fmt: skip
            page.keyboard.press(key)
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {what}")


def test_two_clicks_are_one_act_and_selected_rows_are_a_job(
    open_page: Callable[..., Watched], alone: Serving, mq: BizzMQ, failed: Any
) -> None:
    letters = failed(4)
    page = open_page(alone.url).page

    page.goto(f"/queues/q/messages/{letters[0]}")
    page.dblclick("button:has-text('Replay')")
    page.wait_for_selector("#notice")
    assert mq.stats("q").replayed == 1
    page.goto("/queues/q?state=dead_lettered")
    page.check("input[data-all]")
    page.click("button:has-text('Replay selected')")
    page.wait_for_selector("h1 .state:has-text('done')")
    assert "3 changed, 3 of 3 looked at" in page.inner_text("main")
    assert mq.stats("q").replayed == 4


def test_markup_in_messages_is_text(open_page: Callable[..., Watched], alone: Serving, mq: BizzMQ, failed: Any) -> None:
    (letter,) = failed(1, error=ValueError(HOSTILE), body={HOSTILE: HOSTILE})
    watched = open_page(alone.url)

    for path in (f"/queues/q/messages/{letter}", "/queues/q?state=dead_lettered", "/failures"):
        watched.page.goto(path)
        assert "<img src=x" in watched.page.inner_text("main")
        assert watched.page.locator("main img, main script").count() == 0
    assert watched.complaints == []


def test_the_page_says_that_redis_is_away_and_comes_back(
    open_page: Callable[..., Watched], private_server: Callable[..., Any], serve: Callable[[Any], Serving]
) -> None:
    server = private_server(persistence="aof")
    with BizzMQ(server.url) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
        page = open_page(serve(dashboard(server.url, lambda _request: "act")).url, password="").page
        page.wait_for_selector("tr[data-key=q]")

        server.kill()
        page.wait_for_selector("#trouble:not([hidden])")
        assert "Redis" in page.inner_text("#trouble")
        assert page.locator("tr[data-key=q]").count() == 1  # what was known stays
        page.reload()
        page.wait_for_selector("#trouble:not([hidden])")
        server.restart()

        page.wait_for_selector("#trouble", state="hidden", timeout=60_000)
        eventually(lambda: mq.publish_message_to_queue("q", {}) != "", 20)
        page.wait_for_selector("tr[data-key=q] td:has-text('1')")


def test_the_theme_follows_the_system_or_the_switch(open_page: Callable[..., Watched], alone: Serving) -> None:
    page = open_page(alone.url, theme="dark").page
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)

    page.click("#theme")
    page.wait_for_function(f"{background} !== '{dark}'")
    light = page.evaluate(background)
    page.reload()

    assert light != dark
    assert page.evaluate(background) == light
    assert page.get_attribute("#theme", "aria-label") == "Theme: light"


@pytest.mark.nightly
def test_the_pictures_of_the_documentation(
    open_page: Callable[..., Watched], alone: Serving, scene: dict[str, str], tmp_path: Path
) -> None:
    """BIZZMQ_TEST_PICTURES=1 writes them to docs/operations/pictures."""
    folder = PICTURES if os.environ.get(PICTURES_VARIABLE) else tmp_path
    folder.mkdir(exist_ok=True)
    letter = f"/queues/billing.invoices/messages/{scene['letter']}"
    queue, search = "/queues/thumbnails", _searched(open_page(alone.url).page)
    taken = [
        ("queues", "/", "light", 1440, 680), ("message", letter, "dark", 1440, 560),
        ("queue", queue, "light", 1440, 560), ("failures", "/failures", "light", 1440, 660),
        ("queues", "/", "dark", 390, 900), ("queue", queue, "dark", 390, 900), ("cost", "/cost", "light", 1440, 360),
        ("pool", f"/pools/{scene['pool']}", "light", 1440, 480), ("pools", "/pools", "dark", 390, 480),
        ("search", search, "light", 1440, 480),
    ]  # fmt: skip
    for name, path, theme, width, height in taken:
        page = open_page(alone.url, theme=theme, width=width).page
        page.goto(path)
        page.wait_for_selector("#live:has-text('Live')")
        file = folder / f"dashboard-{name}-{theme}-{width}.png"
        page.screenshot(path=str(file), clip={"x": 0, "y": 0, "width": width, "height": height})
        assert file.stat().st_size < 100_000, file
    assert len(list(folder.glob("*.png"))) == len(taken)
