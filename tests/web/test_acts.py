"""Each act is done once, recorded with who, before and after, and its outcome is shown."""

from __future__ import annotations

import re
from typing import Any, Callable

import httpx
import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions
from bizzmq.testing.wait import eventually
from tests.web.conftest import Serving
from tests.web.site import LOOK_PASSWORD, PASSWORD, Site, notice_in, text_of, token_in


def test_a_message_is_cancelled_replayed_and_deleted(site: Site, mq: BizzMQ, failed: Any, redis: Redis) -> None:
    waiting = mq.publish_message_to_queue("q", {})
    first, second = failed_after(failed, mq, waiting, site)

    assert notice_in(site.act(f"/queues/q/messages/{first}/replay?state=dead_lettered").text).startswith("Replayed.")
    assert mq.status("q", first).state == "waiting"
    assert notice_in(site.act(f"/queues/q/messages/{second}/delete?state=dead_lettered").text).startswith("Deleted.")
    assert mq.find(second) is None

    log = text_of(site.get("/log").text)
    for part in ("Ada", "replay", "delete", "cancel", first, "dead-lettered after delivery 1", "Replayed."):
        assert part in log


def failed_after(failed: Any, mq: BizzMQ, waiting: str, site: Site) -> tuple[str, str]:
    assert notice_in(site.act(f"/queues/q/messages/{waiting}/cancel?state=waiting").text).startswith("Cancelled.")
    assert mq.find(waiting) is None
    first, second = failed(2)
    return first, second


def test_two_people_replay_the_same_letter_and_it_is_replayed_once(
    site: Site, alone: Serving, mq: BizzMQ, failed: Any
) -> None:
    (letter,) = failed(1)
    with httpx.Client(base_url=alone.url, timeout=30) as client:
        other = Site(client)
        other.sign_in(PASSWORD, "Bob")
        path = f"/queues/q/messages/{letter}/replay?state=dead_lettered"
        assert notice_in(site.act(path).text).startswith("Replayed.")
        second = notice_in(other.act(path).text)

    assert second.startswith("Nothing was done: the message was dead lettered when you looked. Now: ")
    assert mq.stats("q").replayed == 1
    assert mq.stats("q").waiting == 1
    acts = text_of(site.get("/log").text)
    assert "Ada" in acts
    assert "Bob" in acts
    assert "Nothing was done" in acts


def test_a_letter_that_was_replayed_meanwhile_is_not_deleted(site: Site, mq: BizzMQ, failed: Any) -> None:
    (letter,) = failed(1)
    mq.replay("q", letter)

    notice = notice_in(site.act(f"/queues/q/messages/{letter}/delete?state=dead_lettered").text)

    assert notice.startswith("Nothing was done")
    assert mq.status("q", letter).state == "waiting"


def test_an_edited_letter_is_replayed_and_bad_json_is_kept(site: Site, mq: BizzMQ, failed: Any) -> None:
    (letter,) = failed(1, body={"to": "nobody"})
    path = f"/queues/q/messages/{letter}/edit"
    assert "nobody" in site.get(path).text

    bad = site.act(path, body='{"to": ', options="{}")
    assert bad.status_code == 422
    assert "The body is not JSON" in text_of(bad.text)
    assert "{&#34;to&#34;: " in bad.text
    bad = site.act(path, body="{}", options='{"priority": "high"}')
    assert bad.status_code == 422
    assert "priority" in text_of(bad.text)
    assert mq.stats("q").replayed == 0

    done = site.act(path, body='{"to": "ada"}', options='{"priority": 5}')
    assert notice_in(done.text).startswith("Replayed as edited.")
    found = mq.find(letter)
    assert found is not None
    assert found.body == {"to": "ada"}
    assert found.priority == 5
    assert "no dead letter any more" in text_of(site.get(path).text)


def test_jobs_act_on_selected_and_on_all_that_match(site: Site, mq: BizzMQ, failed: Any) -> None:
    red, blue = failed(5, key="red"), failed(4, key="blue")

    page = site.act("/queues/q/bulk/replay?state=dead_lettered", id=red[:2], scope="selected")
    job_ends(site, page.url.path, "2 changed, 2 of 2 looked at")
    page = site.act("/queues/q/bulk/replay?state=dead_lettered&scope=all&key=blue")
    job_ends(site, page.url.path, "4 changed")
    assert mq.stats("q").replayed == 6
    page = site.act("/queues/q/bulk/delete?state=dead_lettered&scope=all")
    job_ends(site, page.url.path, "3 changed, 3 of 3 looked at")
    page = site.act("/queues/q/bulk/cancel?state=waiting&scope=all&key=blue")
    job_ends(site, page.url.path, "4 changed, 6 looked at")

    stats = mq.stats("q")
    assert (stats.waiting, stats.dead_lettered, stats.cancelled) == (2, 0, 4)
    assert len(blue) == 4
    log = text_of(site.get("/log").text)
    assert "Replay all dead lettered messages of q, key blue" in log
    assert "done; 4 messages of 4 changed" in log
    assert "Replay all dead lettered messages of q, key blue" in text_of(site.get("/jobs").text)


def job_ends(site: Site, path: str, outcome: str) -> None:
    assert re.match(r"/jobs/[0-9a-f]{12}$", path)
    eventually(lambda: outcome in text_of(site.get(path).text) and "done" in site.get(path).text, 30)


def test_a_job_can_be_stopped_and_survives_that_redis_is_away(site: Site, mq: BizzMQ, queue: str) -> None:
    mq.publish_messages_to_queue(queue, [{"n": n} for n in range(5000)])

    page = site.act("/queues/q/bulk/delete?state=waiting&scope=all")
    notice = notice_in(site.act(f"{page.url.path}/stop").text)

    assert notice == "The job stops after this step."
    eventually(lambda: "stopped" in text_of(site.get(page.url.path).text), 30)
    left = mq.stats(queue).waiting
    assert 0 < left < 5000
    assert mq.stats(queue).purged == 5000 - left


def test_messages_that_come_while_a_job_runs_stay(site: Site, mq: BizzMQ, queue: str) -> None:
    mq.publish_messages_to_queue(queue, [{"n": n} for n in range(300)])
    page = site.act("/queues/q/bulk/delete?state=waiting&scope=all")
    later = mq.publish_message_to_queue(queue, {"late": True})

    eventually(lambda: "done" in site.get(page.url.path).text, 30)
    found = mq.find(later)
    assert found is not None
    assert mq.stats(queue).waiting == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/queues/q/bulk/replay?state=waiting&scope=all", "messages in this state cannot do that"),
        ("/queues/q/bulk/explode?state=waiting&scope=all", "cannot do that"),
        ("/queues/q/bulk/delete?state=waiting", "no message is selected"),
        ("/queues/none/bulk/delete?state=waiting&scope=all", "Nothing was done"),
        ("/queues/q/messages/nope/cancel?state=waiting", "Nothing was done"),
        ("/queues/none/messages/nope/cancel", "This was not done"),
        ("/schedules/q/run?name=nope", "Nothing was done"),
    ],
)
def test_what_cannot_be_done_is_said(site: Site, queue: str, path: str, said: str) -> None:
    assert said in notice_in(site.act(path).text)


def test_schedules_are_run_paused_and_resumed(site: Site, mq: BizzMQ, queue: str) -> None:
    pytest.importorskip("cron_descriptor")
    mq.schedule("nightly/report", queue, {"a": 1}, cron="30 2 * * 1-5", timezone="Europe/Berlin")
    mq.schedule("tick", queue, {"a": 1}, every_s=90)

    text = text_of(site.get("/schedules").text)
    assert "At 02:30, Monday through Friday, Europe/Berlin" in text
    assert "Every 1 min 30 s" in text

    named = "?name=nightly%2Freport"
    assert "Published the message" in notice_in(site.act(f"/schedules/{queue}/run{named}").text)
    assert mq.stats(queue).waiting == 1
    page = site.act(f"/schedules/{queue}/pause{named}")
    assert "is paused" in notice_in(page.text)
    assert "by Ada" in text_of(page.text)
    assert mq.show_schedule("nightly/report").state == "paused"
    site.act(f"/schedules/{queue}/resume{named}")
    assert mq.show_schedule("nightly/report").state == "active"


def test_a_queue_is_paused_and_resumed_and_says_by_whom(site: Site, mq: BizzMQ, queue: str) -> None:
    page = site.act(f"/queues/{queue}/pause")

    assert notice_in(page.text).startswith("Paused, until somebody resumes it.")
    assert "queue q is paused by Ada" in text_of(page.text)
    assert [one.by for one in mq.pauses(queue)] == ["Ada"]
    assert notice_in(site.act(f"/queues/{queue}/resume").text) == "Resumed. Now: not paused"
    assert notice_in(site.act(f"/queues/{queue}/resume").text) == "Nothing was done: it was not paused."
    assert "Pause" in text_of(site.get(f"/queues/{queue}").text)


def test_who_may_look_gets_no_buttons_and_cannot_act(alone: Serving, mq: BizzMQ, failed: Any) -> None:
    (letter,) = failed(1)
    with httpx.Client(base_url=alone.url, timeout=30) as client:
        looker = Site(client)
        looker.sign_in(LOOK_PASSWORD)
        for path in ("/queues/q?state=dead_lettered", f"/queues/q/messages/{letter}", "/failures", "/schedules"):
            page = looker.get(path)
            assert page.status_code == 200, path
            assert "formaction" not in page.text, path
        answer = looker.act(f"/queues/q/messages/{letter}/replay?state=dead_lettered")
        assert answer.status_code == 403
        assert "may look, but not act" in text_of(answer.text)
        assert looker.get(f"/queues/q/messages/{letter}/edit").status_code == 403
    assert mq.stats("q").dead_lettered == 1


def test_the_log_is_bounded_and_its_fields_cannot_forge_a_line(
    site: Site, redis: Redis, mq: BizzMQ, queue: str
) -> None:
    for number in range(11_000):
        redis.execute_command("XADD", "bizzmq:acts", "*", "act", f"{number}", "who", "x", "what", "y")
    site.act("/queues/q/messages/a%0Ab%1B%5B31m/cancel")

    assert redis.xlen("bizzmq:acts") < 10_200
    page = site.get("/log").text
    assert "\x1b" not in page
    assert "a\\nb" in page


def test_a_full_redis_does_not_prevent_an_act_that_frees_memory(
    private_server: Callable[..., Any], serve: Callable[[Any], Serving]
) -> None:
    from bizzmq.web import dashboard

    server = private_server()
    with BizzMQ(server.url) as mq, server.client() as redis:
        mq.create_queue("q")
        message_id = mq.publish_message_to_queue("q", {}, MessageOptions())
        redis.config_set("maxmemory", 1)
        running = serve(dashboard(server.url, lambda _request: "act"))
        with httpx.Client(base_url=running.url, timeout=30) as client:
            token = token_in(client.get("/").text)
            answer = client.post(
                f"/queues/q/messages/{message_id}/delete?state=waiting", data={"token": token}, follow_redirects=True
            )
            assert notice_in(answer.text).startswith("Deleted.")
        assert redis.exists("bizzmq:acts") == 0
