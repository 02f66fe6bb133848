"""Every page says what is stored, in each state of the queue and of Redis."""

from __future__ import annotations

import json
import time
from typing import Any, Callable

import httpx
import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQ, MessageOptions, QueueOptions
from bizzmq.testing.wait import eventually
from bizzmq.web import Role, dashboard
from tests.web.conftest import Serving
from tests.web.site import Site, notice_in, text_of

PAGES = ("/", "/queues/q", "/failures", "/pools", "/schedules", "/jobs", "/log")
HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e"


def test_the_overview_shows_each_queue_and_says_what_is_wrong(site: Site, mq: BizzMQ, queue: str, failed: Any) -> None:
    failed(2)
    mq.create_queue("idle")
    mq.publish_message_to_queue(queue, {"n": 1})

    text = text_of(site.get("/").text)

    assert "q has 1 message waiting for" in text
    assert "and no worker." in text
    assert "q has 2 dead letters." in text
    assert "2 queues" in text
    assert "idle" in text


def test_nothing_is_wrong_with_nothing(site: Site, redis: Redis) -> None:
    assert "There are no queues yet" in site.get("/").text
    for path in ("/failures", "/pools", "/schedules", "/jobs", "/log"):
        answer = site.get(path)
        assert answer.status_code == 200, path
        assert 'class="empty"' in answer.text, path


def test_busy_workers_are_named_with_what_they_run(site: Site, mq: BizzMQ, queue: str) -> None:
    import threading

    release = threading.Event()
    stop = mq.consume_message_from_queue(queue, lambda _body: release.wait(60))
    try:
        mq.publish_messages_to_queue(queue, [{"n": n} for n in range(3)])
        eventually(lambda: "1/1" in text_of(site.get("/pools").text), 20)
        running = mq.messages(queue, "processing").messages[0].id
        eventually(lambda: running in site.get("/pools").text, 20)
        assert "Cancel" in text_of(site.get(f"/queues/{queue}/messages/{running}").text)
    finally:
        release.set()
        stop()


def test_a_message_page_begins_with_the_sentence_and_has_all_that_is_known(site: Site, failed: Any, mq: BizzMQ) -> None:
    (message_id,) = failed(1, error=ValueError("no such user"), body={"to": "ada"}, key="tenant-7")

    text = text_of(site.get(f"/queues/q/messages/{message_id}").text)

    assert mq.explain(message_id).sentence in text
    for part in ("Traceback", "no such user", '"to": "ada"', "tenant-7", "Replay edited", "dead lettered"):
        assert part in text
    assert site.get(f"/find?id={message_id}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/queues/none", "/queues/q/messages/661840378a5a0aP6oUVd", "/find?id=x", "/nothing", "/jobs/x"]
)
def test_what_is_gone_is_said_to_be_gone(site: Site, queue: str, path: str) -> None:
    answer = site.get(path)

    assert answer.status_code == 404
    assert len(text_of(answer.text)) > 100


def test_bodies_and_errors_of_strangers_are_text(site: Site, mq: BizzMQ, failed: Any, redis: Redis) -> None:
    (message_id,) = failed(1, error=ValueError(HOSTILE), body={HOSTILE: HOSTILE})
    redis.hset("bizzmq:{q}:messages", "661840378a5a0aP6oUVd", b"1\n\xff\xfe not JSON <script>")
    redis.lpush("bizzmq:{q}:waiting", "661840378a5a0aP6oUVd")

    for path in ("/queues/q?state=dead_lettered", f"/queues/q/messages/{message_id}", "/failures", "/queues/q",
                 "/queues/q/messages/661840378a5a0aP6oUVd", f"/queues/q/messages/{message_id}/edit"):  # fmt: skip
        page = site.get(path)
        assert page.status_code == 200, (path, text_of(page.text))
        assert "<img" not in page.text, path
        assert "\x1b" not in page.text, path
        assert "<script>" not in page.text, path
    assert "\u202e" not in site.get(f"/queues/q/messages/{message_id}").text


def test_a_body_of_one_mebibyte_weighs_little(site: Site, mq: BizzMQ, queue: str) -> None:
    message_id = mq.publish_message_to_queue(queue, {"text": "x" * (1024 * 1024 - 100)})

    page = site.get(f"/queues/{queue}/messages/{message_id}")

    assert page.status_code == 200
    assert len(page.content) < 60_000
    assert "characters more" in page.text


def test_a_thousand_queues_are_there_at_once_and_light(site: Site, mq: BizzMQ, redis: Redis) -> None:
    for number in range(1000):
        mq.create_queue(f"queue-{number:04}")
    site.get("/")  # the first reader waits for the first snapshot

    redis.config_resetstat()
    for path in ("/", "/?sort=waiting", "/?q=queue-09", "/?page=7", "/"):
        page = site.get(path)
        assert page.status_code == 200
        assert len(page.content) < 150_000
    # They are made from the snapshot, so none waits for a thousand queues.
    assert redis.info("commandstats").get("cmdstat_smembers", {"calls": 0})["calls"] <= 1

    assert "1,000 queues" in text_of(site.get("/").text)
    assert "Page 7 of 10" in text_of(site.get("/?page=7").text)


def test_no_page_sends_a_command_that_is_linear_in_messages(site: Site, mq: BizzMQ, queue: str, redis: Redis) -> None:
    mq.publish_messages_to_queue(queue, [{"n": n} for n in range(500)])
    redis.config_resetstat()

    for path in PAGES:
        assert site.get(path).status_code == 200

    used = {name.partition("_")[2] for name in redis.info("commandstats")}
    # HKEYS is for the metrics, which are bounded.
    assert not used & {"keys", "scan", "hvals", "smove", "sort", "hscan"}
    assert redis.info("commandstats").get("cmdstat_hgetall", {}).get("usec_per_call", 0) < 1000


def test_pages_are_found_by_state_task_key_and_error(site: Site, mq: BizzMQ, failed: Any) -> None:
    (one,) = failed(1, error=ValueError("red"), key="a")
    (other,) = failed(1, error=KeyError("blue"), key="b")
    mq.publish_message_to_queue("q", {}, MessageOptions(delay_s=3600))

    def shows(query: str) -> tuple[bool, bool]:
        page = site.get(f"/queues/q?state=dead_lettered&{query}").text
        return one in page, other in page

    assert shows("") == (True, True)
    assert shows("key=a") == (True, False)
    assert shows("error=blue") == (False, True)
    fingerprint = mq.dead_letter_groups("q", key="b")[0].fingerprint
    assert shows(f"fingerprint={fingerprint}") == (False, True)
    assert "in 59 min" in text_of(site.get("/queues/q?state=delayed").text)


def test_redis_away_is_a_clear_state_and_the_page_comes_back(
    private_server: Callable[..., Any], serve: Callable[[Any], Serving], proxy_factory: Callable[[str], Any]
) -> None:
    server = private_server()
    proxy = proxy_factory(server.url)
    with BizzMQ(server.url) as mq:
        mq.create_queue("q")
    running = serve(dashboard(proxy.url, lambda _request: Role.LOOK))
    with httpx.Client(base_url=running.url, timeout=60) as client:
        assert client.get("/").status_code == 200
        with client.stream("GET", "/events/queues/q", timeout=60) as events:
            lines = events.iter_lines()
            assert "page" in _next_event(lines)
            proxy.close()
            assert "trouble" in _next_event(lines, "trouble")
            answer = client.get("/queues/q")
            assert answer.status_code == 503
            assert "Redis cannot be reached" in text_of(answer.text)
            assert "comes back by itself" in text_of(answer.text)


def _next_event(lines: Any, wanted: str = "page") -> str:
    for line in lines:
        if line == f"event: {wanted}":
            return line
    raise AssertionError("the events have ended")


def test_one_poller_serves_all_browsers(alone: Serving, site: Site, mq: BizzMQ, queue: str, redis: Redis) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        streams = [stack.enter_context(site.client.stream("GET", "/events/", timeout=60)) for _ in range(20)]
        readers = [stream.iter_lines() for stream in streams]
        for lines in readers:
            _next_event(lines)
        redis.config_resetstat()
        began_s = time.monotonic()
        time.sleep(4.2)  # the time in which polls are counted
        polls = redis.info("commandstats").get("cmdstat_smembers", {"calls": 0})["calls"]
        most = (time.monotonic() - began_s) / 2 + 2

    assert polls <= most  # for all browsers together
    hubs = alone.app.state.site._hubs.values()
    eventually(lambda: all(hub._task is None or hub._task.done() for hub in list(hubs)), 60)
    redis.config_resetstat()
    time.sleep(3)  # the time in which commands are counted
    assert "cmdstat_smembers" not in redis.info("commandstats")  # nobody looks, so nothing is read


def test_an_open_page_follows_what_happens(site: Site, mq: BizzMQ, queue: str) -> None:
    with site.client.stream("GET", "/events/queues/q?state=waiting", timeout=60) as events:
        lines = events.iter_lines()
        _next_event(lines)
        mq.publish_message_to_queue(queue, {})
        for line in lines:
            if line.startswith('data: {"html"') and "Waiting <b>1</b>" in json.loads(line[6:])["html"]:
                break
        mq.delete_queue(queue, with_messages=True)
        for line in lines:
            if line.startswith('data: {"html"') and "This is gone" in json.loads(line[6:])["html"]:
                break


def test_it_is_mounted_under_a_path_of_an_application(
    url: str, mq: BizzMQ, queue: str, serve: Callable[[Any], Serving]
) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = dashboard(AsyncBizzMQ(url), lambda request: "act" if request.headers.get("x-user") else "none")
    running = serve(Starlette(routes=[Mount("/ops/bizzmq", inner)]))
    with httpx.Client(base_url=running.url, timeout=30, headers={"x-user": "ada"}) as client:
        page = client.get("/ops/bizzmq/")
        assert page.status_code == 200
        assert 'href="/ops/bizzmq/queues/q"' in page.text
        assert 'data-events="/ops/bizzmq/events/"' in page.text
        assert client.get("/ops/bizzmq/static/style.css").status_code == 200
        assert client.get("/ops/bizzmq/queues/q").status_code == 200
        message_id = mq.publish_message_to_queue(queue, {})
        after = Site(client)
        from tests.web.site import token_in

        answer = client.post(
            f"/ops/bizzmq/queues/q/messages/{message_id}/cancel",
            data={"token": token_in(page.text)}, follow_redirects=True,
        )  # fmt: skip
        assert notice_in(answer.text).startswith("Cancelled.")
        assert after.get("/ops/bizzmq/", headers={"x-user": ""}).status_code == 403


def test_an_unusable_queue_is_named_and_the_others_are_shown(site: Site, mq: BizzMQ, queue: str, redis: Redis) -> None:
    mq.create_queue("good", QueueOptions())
    redis.delete("bizzmq:{q}:waiting")
    redis.set("bizzmq:{q}:waiting", "no list")

    text = text_of(site.get("/").text)

    assert "q cannot be used" in text
    assert "good" in text
    assert site.get("/queues/q").status_code == 200


def test_a_queue_page_shows_the_last_hour_as_a_chart(site: Site, mq: BizzMQ, queue: str, failed: Any) -> None:
    assert "<figure" not in site.get("/queues/q").text  # nothing has been handled yet
    mq.publish_messages_to_queue(queue, [{"n": n} for n in range(5)])
    mq.consume_until_empty(queue, lambda _body: None, 60)
    failed(2)

    eventually(lambda: "7 handled, 2 of them failed" in text_of(site.get("/queues/q").text), 30)
    assert 'class="level"' in site.get("/queues/q").text
    assert 'class="failed"' in site.get("/queues/q").text
