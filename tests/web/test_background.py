"""What takes long is read in the background: pages show what is known so far, and a search is a job."""

from __future__ import annotations

import re
from typing import Any

import httpx

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.wait import eventually
from tests.web.conftest import Serving
from tests.web.site import LOOK_PASSWORD, Site, notice_in, text_of

LETTERS = 30_000


def test_failures_are_answered_before_all_letters_are_read(site: Site, mq: BizzMQ, failed: Any) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    mq.create_queue("small", QueueOptions(config_dead_letter_queue=True))
    mq.publish_messages_to_queue("q_dlq", [{}] * LETTERS)
    failed(3)

    first = site.get("/failures").text

    assert "the others are still being read" in text_of(first)
    assert 'id="groups" aria-label' in first  # not static: it changes until all of them are read
    seen = read_in(first)
    assert 0 < seen < LETTERS
    eventually(lambda: read_in(site.get("/failures?page=1").text) > seen, 60)
    done = eventually(lambda: _complete(site.get("/failures?page=1").text), 60)
    assert f"{LETTERS + 3:,} dead letters in 2 groups." in text_of(done)
    assert "ZeroDivisionError" in done


def read_in(page: str) -> int:
    found = re.search(r"([0-9,]+)(?: of [0-9,]+)? dead letters in", text_of(page))
    return int(found[1].replace(",", "")) if found else 0


def _complete(page: str) -> str:
    return page if "still being read" not in page else ""


def test_a_search_in_bodies_is_a_job_that_shows_what_it_finds(site: Site, mq: BizzMQ, queue: str) -> None:
    mq.publish_messages_to_queue(queue, [{"to": "Ada" if n % 100 == 0 else "Bob", "n": n} for n in range(1200)])

    begun = site.act("/queues/q/search", state="waiting", body='"ada"')

    assert re.fullmatch("/jobs/[0-9a-f]+", begun.url.path)
    page = eventually(lambda: _ended(site.get(begun.url.path).text), 60)
    assert "12 found, 1,200 of 1,200 looked at" in text_of(page)
    assert page.count('type="checkbox" name="id"') == 12
    assert mq.stats(queue).waiting == 1200  # it changes nothing
    ids = re.findall(r'name="id" value="([^"]+)"', page)
    assert "2 selected messages" in text_of(site.act("/queues/q/bulk/cancel?state=waiting", id=ids[:2]).text)
    eventually(lambda: mq.stats(queue).waiting == 1198, 60)
    assert "Search the" not in text_of(site.get("/log").text)
    assert notice_in(site.act("/queues/q/search", state="waiting", body="").text).startswith("Nothing was searched:")
    assert notice_in(site.act("/queues/q/search", state="none", body="x").text).startswith("Nothing was searched:")
    nothing = site.act("/queues/q/search", state="waiting", body="nobody")
    assert "No message matches." in eventually(lambda: _ended(site.get(nothing.url.path).text), 60)


def test_a_search_is_stopped_also_by_those_who_may_only_look(mq: BizzMQ, queue: str, alone: Serving) -> None:
    mq.publish_messages_to_queue(queue, [{"n": n} for n in range(LETTERS)])
    with httpx.Client(base_url=alone.url, timeout=30) as client:
        site = Site(client)
        site.sign_in(LOOK_PASSWORD)
        elsewhere = {"sec-fetch-site": "cross-site"}
        refused = client.post("/queues/q/search", data={"state": "waiting", "body": "7"}, headers=elsewhere)
        assert refused.status_code == 403

        begun = site.act("/queues/q/search", state="waiting", body='"n": 12')
        shown = eventually(lambda: _found(site.get(begun.url.path).text), 60)
        site.act(f"{begun.url.path}/stop")
        page = eventually(lambda: _ended(site.get(begun.url.path).text), 60)

        assert "Cancel selected" not in shown
        assert "stopped" in page or "There may be more" in page  # it had found as much as a search shows
        assert "Page 1 of" in text_of(page) or _found(page)
        assert client.post("/jobs/none/stop").status_code == 403


def _found(page: str) -> str:
    return page if 'id="found"' in page and "/messages/" in page else ""


def _ended(page: str) -> str:
    return page if ">running<" not in page and 'class="state' in page else ""
