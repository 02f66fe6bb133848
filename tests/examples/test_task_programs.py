"""The examples of tasks work as documented: their pools and programs in processes of their own."""

from __future__ import annotations

import http.client
import json
from typing import Iterator, List
from urllib.parse import urlencode

import pytest

from bizzmq import BizzMQ
from bizzmq.testing.ports import free_port
from bizzmq.testing.wait import eventually
from tests.support.program import StartProgram

POOL = ("-m", "bizzmq.workers", "--concurrency=2")


def test_a_report_has_typed_arguments_and_runs_the_last_releases_messages(run: StartProgram, url: str) -> None:
    run(*POOL, "report:app", BIZZMQ_REDIS_URL=url)
    new = run("report.py", "2026-11-01", "html", BIZZMQ_REDIS_URL=url)
    old = run("report.py", "--old", "2026", "10", BIZZMQ_REDIS_URL=url)
    for program in (new, old):
        program.succeeds()
    assert new.output().startswith("November 2026\nFormat.HTML\n<li>1 sold\n")
    assert old.output().startswith("October 2026\nFormat.TEXT\n1 sold\n")
    assert "refused: " in new.output()


def test_one_report_at_a_time_and_the_last_text(run: StartProgram, url: str) -> None:
    program = run("dedupe.py", BIZZMQ_REDIS_URL=url)
    with BizzMQ(url) as mq:
        eventually(
            lambda: [one.queue for one in mq.queues() if one.stats and one.stats.published == 3], 60.0, program.output
        )
    run(*POOL, "dedupe:app", BIZZMQ_REDIS_URL=url)
    program.succeeds()
    assert program.output() == "[False, True, True] 1 message\n[False, True]\nthe report of 2026-01\ndoc-1: hello\n"


def test_models_go_through_the_pipeline(run: StartProgram, url: str) -> None:
    pytest.importorskip("pydantic")
    run(*POOL, "pipeline_of_models:app", BIZZMQ_REDIS_URL=url)
    program = run("pipeline_of_models.py", BIZZMQ_REDIS_URL=url)
    program.succeeds()
    assert program.output() == "2 lines, total 24.60\n"


@pytest.fixture
def web(run: StartProgram, url: str) -> Iterator[http.client.HTTPConnection]:
    """The web form behind uvicorn, and its pool."""
    for library in ("starlette", "uvicorn"):
        pytest.importorskip(library)
    run(*POOL, "web_form:app", BIZZMQ_REDIS_URL=url)
    port = free_port()
    server = run("-m", "uvicorn", "web_form:web", "--port", str(port), BIZZMQ_REDIS_URL=url)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    eventually(lambda: _answers(connection), 60.0, server.output)
    yield connection
    connection.close()


def _answers(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/")
        return b"How many primes" in connection.getresponse().read()
    except OSError:
        connection.close()
        return False


def states(connection: http.client.HTTPConnection, limit: str) -> List[str]:
    """Send the form, and read the events of its message to their end."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/", urlencode({"limit": limit}), headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 303
    place = str(answer.headers["location"])
    connection.request("GET", place)
    assert b"EventSource" in connection.getresponse().read()
    connection.request("GET", f"/events{place}")
    events = connection.getresponse().read().decode()
    assert events.endswith("event: end\ndata:\n\n")
    return [json.loads(line[len("data: ") :])["text"] for line in events.splitlines() if line.startswith("data: {")]


def test_the_web_form_shows_states_and_then_the_result(web: http.client.HTTPConnection) -> None:
    shown = states(web, "100000")
    assert shown[-1] == "there are 9592"
    assert "processing" in shown


def test_the_web_form_shows_a_failure_and_refuses_what_is_no_number(web: http.client.HTTPConnection) -> None:
    assert states(web, "3000000")[-1] == "failed: that would take too long"
    web.request("POST", "/", urlencode({"limit": "many"}), {"Content-Type": "application/x-www-form-urlencoded"})
    answer = web.getresponse()
    assert (answer.status, b"a whole number" in answer.read()) == (400, True)


def test_the_nightly_report_and_its_pings_are_scheduled(run: StartProgram, url: str) -> None:
    pool = run(*POOL, "nightly_report:app", BIZZMQ_REDIS_URL=url)
    for region in ("eu", "us"):
        pool.wait_for(f"ping {region}")
    run("-m", "bizzmq", "schedule", "run", "nightly_report", BIZZMQ_REDIS_URL=url).succeeds()
    pool.wait_for("report of 1 day(s)")
    following = run("-m", "bizzmq", "schedule", "next", "nightly_report", "-n", "3", BIZZMQ_REDIS_URL=url)
    following.succeeds()
    assert following.output().count("T03:00:00+0") == 3


def test_a_long_sum_is_right_although_its_workers_are_killed(run: StartProgram, url: str) -> None:
    run(*POOL, "long_sum:app", BIZZMQ_REDIS_URL=url)
    program = run("long_sum.py", "2000000", "--kill", "2", BIZZMQ_REDIS_URL=url)
    program.succeeds()
    assert program.output().endswith("1999999000000 is right\n")
