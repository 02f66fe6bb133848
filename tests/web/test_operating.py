"""What an operator sees and does on a dashboard beside messages: charts, costs, options, pools, metrics."""

from __future__ import annotations

import json
import re
from typing import Any, Callable

import httpx
import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQ, MessageOptions, QueueOptions
from bizzmq.testing.wait import eventually
from bizzmq.web import dashboard
from bizzmq.web.access.passwords import Passwords
from bizzmq.web.application import application
from tests.web.conftest import Serving
from tests.web.past import write_past
from tests.web.site import LOOK_PASSWORD, PASSWORD, Site, notice_in, text_of

TOKEN = "a-token-for-prometheus"


def test_charts_and_sparklines_are_drawn_and_said_in_words(site: Site, mq: BizzMQ, queue: str, failed: Any) -> None:
    assert "<figure" not in site.get("/queues/q").text  # nothing has been handled yet
    mq.publish_messages_to_queue(queue, [{"n": n} for n in range(5)])
    mq.consume_until_empty(queue, lambda _body: None, 60)
    failed(2, key="tenant-7")

    eventually(lambda: "7 handled, 2 of them failed" in text_of(site.get("/queues/q").text), 30)
    page = site.get("/queues/q").text
    assert page.count("<figure") == page.count("</figcaption>") == 4
    assert page.count('role="img" aria-label="') == 4
    assert 'class="failed"' in page
    assert "The charts as a table" in page
    assert "Last day: 7 handled" in text_of(site.get("/queues/q?range=1d").text)
    eventually(lambda: 'class="spark"><svg' in site.get("/").text, 60)
    assert "done, 2 attempts failed" in text_of(site.get("/").text)
    failures = site.get("/failures").text
    assert re.search("at most [12] in an hour", text_of(failures))
    assert "key=tenant-7" in failures
    cost = text_of(site.get("/cost").text)
    assert "by 1 task;" in cost or "by 1 task." in cost
    assert "By task Task Queue" in cost
    assert "By key Key Queue" in cost
    assert "tenant-7 q" in cost
    assert "By key Key" in text_of(page)


def test_the_past_is_drawn_with_deploys_and_deaths_are_counted(
    site: Site, mq: BizzMQ, queue: str, redis: Redis
) -> None:
    write_past(redis, queue, {"shop.send": 0.5, "shop.read": 0.1}, deaths=2)

    page = site.get("/queues/q").text
    assert page.count('class="mark"') == 4 * 2  # each chart has both deploys
    text = text_of(page)
    assert "1.4.2 (1 pool)" in text
    assert "By task" in text
    assert text.index("shop.send") < text.index("shop.read")  # the busier one first
    assert "handled" in text_of(site.get("/queues/q?range=30d").text)
    assert 'class="spark"><svg' in site.get("/").text
    assert "All queues last 15 minutes" in text_of(site.get("/").text)
    assert "killed by the kernel: out of memory shop.send q 2" in text_of(site.get("/failures?queue=q").text)
    cost = text_of(site.get("/cost").text)
    assert "by 2 tasks." in cost
    assert re.search(r"shop\.send q .* 83 % ", cost)


def failing_differently(mq: BizzMQ, queue: str, number: int) -> None:
    """Make dead letters, each with an error of a type of its own."""

    def handle(body: Any) -> None:
        raise type(f"Error{body}", (Exception,), {})("no")

    mq.publish_messages_to_queue(queue, list(range(number)), MessageOptions(retries=0))
    mq.consume_until_empty(queue, handle, 300)


def test_the_pages_of_groups_are_of_one_reading(site: Site, mq: BizzMQ, queue: str) -> None:
    failing_differently(mq, queue, 120)

    first = site.get("/failures").text
    mq.purge("q_dlq")
    second = site.get("/failures?page=2").text

    assert "Page 1 of 2" in text_of(first)
    names = [set(re.findall("Error[0-9]+", page)) for page in (first, second)]
    assert [len(some) for some in names] == [100, 20]
    assert not names[0] & names[1]
    assert "No dead letters" in text_of(site.get("/failures").text)


def test_a_delayed_message_is_retried_now(site: Site, mq: BizzMQ, queue: str) -> None:
    message = mq.publish_message_to_queue(queue, {}, MessageOptions(delay_s=3600))
    path = f"/queues/q/messages/{message}"
    assert "Retry now" in text_of(site.get(path).text)

    assert notice_in(site.act(f"{path}/retry?state=delayed").text).startswith("It waits now.")
    assert mq.status("q", message).state == "waiting"
    again = notice_in(site.act(f"{path}/retry?state=delayed").text)
    assert again.startswith("Nothing was done: the message was delayed when you looked.")


def test_deliveries_have_their_worker_and_time(site: Site, mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0, history=True))
    message = mq.publish_message_to_queue("q", {})

    def handle(_body: Any) -> None:
        raise ValueError("no")

    mq.consume_until_empty("q", handle, 60)
    page = text_of(site.get(f"/queues/q/messages/{message}").text)

    assert "Deliveries No. Host Began Lasted Ended" in page
    assert page.count(" retried ") >= 1
    assert page.count(" dead lettered ") >= 1


def test_options_are_changed_one_by_one_and_bad_ones_are_kept(site: Site, mq: BizzMQ, queue: str) -> None:
    page = site.get("/queues/q/options").text
    shown = dict(_fields(page))
    assert shown["was_max_retries"] == "2"
    mq.update_queue("q", {"timeout_s": 7})  # somebody else, meanwhile

    bad = site.act("/queues/q/options", **{**shown, "max_retries": "many"})
    assert bad.status_code == 422
    assert "The option max retries must be a whole number." in text_of(bad.text)
    assert 'value="many"' in bad.text
    bad = site.act("/queues/q/options", **{**shown, "retry_backoff_s": "-1"})
    assert bad.status_code == 422
    assert "retry_backoff_s" in text_of(bad.text)
    done = site.act("/queues/q/options", **{**shown, "max_retries": "5", "dead_letter_limit": "10", "history": "yes"})

    assert notice_in(done.text).startswith("Changed: max_retries is 5, was 2, ")
    options = mq.show_queue("q").options
    assert (options.max_retries, options.dead_letter_limit, options.history) == (5, 10, True)
    assert options.timeout_s == 7
    assert "change options" in text_of(site.get("/log").text)
    assert notice_in(site.act("/queues/q/options", **shown).text) == "No option was changed."


def _fields(page: str) -> Any:
    return re.findall(r'name="(was_[a-z_]+)" form="acts" value="([^"]*)"', page) + re.findall(
        r'<input id="o-[a-z_]+" name="([a-z_]+)" form="acts" value="([^"]*)"', page
    )


def test_messages_are_found_by_their_body_and_replayed_once(site: Site, mq: BizzMQ, failed: Any) -> None:
    failed(3, body={"to": "Ada"})
    failed(2, body={"to": "Bob"})
    mq.publish_message_to_queue("q", {"to": "ada"})

    def shown(fields: str) -> int:
        return site.get(f"/queues/q?{fields}").text.count('type="checkbox" name="id"')

    assert shown("state=dead_lettered&body=%22ada%22") == 3
    assert shown("state=waiting&body=ADA") == 1
    assert shown("state=waiting&body=bob") == 0
    page = site.act("/queues/q/bulk/replay?state=dead_lettered&scope=all&body=ada")
    eventually(lambda: "3 changed, 5 looked at" in text_of(site.get(page.url.path).text), 30)
    assert mq.stats("q").replayed == 3
    assert [one.body for one in mq.messages("q", "dead_lettered", body="BOB").messages] == [{"to": "Bob"}] * 2


def test_pools_are_asked_and_a_live_stack_is_shown(
    site: Site, mq: BizzMQ, queue: str, url: str, pool_factory: Callable[..., Any], ledger: Any
) -> None:
    pool = pool_factory(url, concurrency=1)
    pool.wait_ready()
    running = mq.publish_message_to_queue(queue, {"do": "sleep", "sleep_s": 600.0})
    ledger.wait_started(running)
    (found,) = eventually(lambda: [one for one in mq.pools() if one.asked_on], 60)

    def asked(act: str, answer: str) -> bool:
        """A pool on a busy machine may be too late for the first request."""
        notice = notice_in(site.act(f"/pools/{found.id}/{act}?queue=q").text)
        return re.fullmatch(f"The pool {re.escape(found.id)} has answered: {answer}", notice) is not None

    eventually(lambda: asked("more", "[0-9]+ workers"), 60)
    eventually(lambda: asked("quiet", "the pool claims nothing.*"), 60)
    eventually(lambda: "in sleep" in text_of(site.act(f"/queues/q/messages/{running}/stack").text), 60)
    eventually(lambda: "Resume" in text_of(site.get("/pools").text), 30)
    gone = notice_in(site.act("/pools/h:b:1:n/reload").text)
    assert gone.startswith("This was not done: there is no pool h:b:1:n")
    waiting = mq.publish_message_to_queue(queue, {})
    assert "no worker runs it" in notice_in(site.act(f"/queues/q/messages/{waiting}/stack").text)
    log = text_of(site.get("/log").text)
    for part in (f"more pool {found.id}", f"quiet pool {found.id}", "stack"):
        assert part in log


def test_prometheus_gets_all_queues_with_a_token_or_a_role(
    url: str, mq: BizzMQ, queue: str, serve: Callable[[Any], Serving]
) -> None:
    pytest.importorskip("prometheus_client")
    mq.publish_message_to_queue(queue, {})
    passwords = Passwords(PASSWORD, LOOK_PASSWORD, metrics_token=TOKEN)
    running = serve(application(AsyncBizzMQ(url), passwords.authorize, passwords))
    with httpx.Client(base_url=running.url, timeout=30) as client:
        good, bad = {"authorization": f"Bearer {TOKEN}"}, {"authorization": "Bearer nothing"}
        answer = client.get("/metrics", headers=good)
        assert answer.status_code == 200
        assert 'bizzmq_queue_messages{queue="q",state="waiting"} 1.0' in answer.text
        assert 'bizzmq_queue_events_total{event="published",queue="q"} 1.0' in answer.text
        for path, headers in (("/metrics", bad), ("/metrics", {})):
            assert client.get(path, headers=headers).status_code == 401
        for path in ("/", "/queues/metrics"):
            assert client.get(path, headers=good).status_code in (303, 401), path
        site = Site(client)
        site.sign_in(LOOK_PASSWORD)
        assert site.get("/metrics").status_code == 200
    with httpx.Client(base_url=serve(dashboard(url, lambda _request: "none")).url, timeout=30) as client:
        assert client.get("/metrics").status_code == 403


def test_who_may_only_look_gets_no_button_and_no_act(url: str, mq: BizzMQ, queue: str, alone: Serving) -> None:
    with httpx.Client(base_url=alone.url, timeout=30) as client:
        site = Site(client)
        site.sign_in(LOOK_PASSWORD)
        assert "/options" not in site.get("/queues/q").text
        assert site.get("/queues/q/options").status_code == 403
        for path in ("/queues/q/options", "/pools/x/more", "/queues/q/messages/x/stack", "/queues/q/messages/x/retry"):
            assert site.act(path).status_code == 403, path


@pytest.mark.nightly
def test_how_long_pages_of_a_thousand_queues_and_ten_thousand_groups_take(
    site: Site, mq: BizzMQ, record_property: Callable[[str, object], None]
) -> None:
    """The figures are in pytest's report, and with -s on the screen."""
    import time

    for number in range(1000):
        mq.create_queue(f"queue-{number:04}", QueueOptions(config_dead_letter_queue=True))

    def taken(path: str) -> float:
        began_s = time.perf_counter()
        assert site.get(path).status_code == 200
        return round((time.perf_counter() - began_s) * 1000, 1)

    site.get("/sign-in")
    figures = {"cold": taken("/"), "while it is read": taken("/?sort=waiting")}
    figures.update({path: min(taken(path) for _ in range(5)) for path in ("/", "/?sort=waiting", "/queues/queue-0007")})
    for number in range(10):
        failing_differently(mq, f"queue-{number:04}", 1000)
    eventually(lambda: "10,000" in text_of(site.get("/failures").text), 60)
    figures.update({path: taken(path) for path in ("/failures", "/failures?page=50")})
    record_property("milliseconds", json.dumps(figures))
    print(figures)  # noqa: T201 - for who runs it by hand
