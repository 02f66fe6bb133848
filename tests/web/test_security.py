"""Who may do what, and what a stranger's site, script, or guess cannot do."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import httpx
import pytest
from click.testing import CliRunner
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.cli.main import command
from bizzmq.errors import ConfigurationError
from bizzmq.testing.wait import eventually
from bizzmq.web import Access, Role, dashboard
from tests.consumer.test_malformed import ID, plant
from tests.support.paths import ROOT
from tests.web.conftest import Serving
from tests.web.site import PASSWORD, Site, text_of, token_in

ACT = "/queues/q/messages/661840378a5a0aP6oUVd/cancel"
PRIVATE = ("/", "/queues/q", "/failures", "/pools", "/schedules", "/jobs", "/log", "/events/", "/find?id=x")


@pytest.fixture
def stranger(alone: Serving) -> Any:
    with httpx.Client(base_url=alone.url, timeout=30) as client:
        yield Site(client)


@pytest.mark.parametrize("path", PRIVATE)
def test_strangers_see_nothing(stranger: Site, path: str) -> None:
    answer = stranger.get(path)

    assert answer.status_code in (303, 401)
    assert "Sign" in answer.text or answer.headers["location"].startswith("/sign-in?next=")


def test_every_answer_has_the_security_headers(site: Site, stranger: Site, mq: BizzMQ) -> None:
    answers = [site.get(path) for path in ("/", "/queues/none", "/nothing", "/static/main.js")]
    answers += [stranger.get("/sign-in"), stranger.get("/events/"), stranger.client.post("/log")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        if "/static/" not in str(answer.url):
            assert answer.headers["cache-control"] == "no-store"


def test_pages_have_neither_inline_code_nor_anything_from_elsewhere(site: Site, mq: BizzMQ, failed: Any) -> None:
    (letter,) = failed(1)
    for path in ("/", "/queues/q?state=dead_lettered", f"/queues/q/messages/{letter}", "/failures", "/sign-in",
                 f"/queues/q/messages/{letter}/edit", "/log", "/schedules", "/pools"):  # fmt: skip
        page = site.get(path).text
        assert " style=" not in page, path
        assert "<style" not in page, path
        assert " onclick" not in page, path
        assert "http://" not in page.replace("http://www.w3.org", ""), path
        assert "https://" not in page, path
        assert page.count("<script") == page.count("<script src=") + page.count('<script type="module" src='), path


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
    ],
)
def test_a_form_of_another_site_does_nothing(site: Site, mq: BizzMQ, queue: str, headers: dict[str, str]) -> None:
    message_id = mq.publish_message_to_queue(queue, {})
    token = token_in(site.get("/log").text)

    answer = site.client.post(f"/queues/q/messages/{message_id}/cancel", data={"token": token}, headers=headers)

    assert answer.status_code == 403
    assert "another site" in text_of(answer.text)
    assert mq.find(message_id) is not None


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_the_token_of_its_session_does_nothing(site: Site, mq: BizzMQ, queue: str, token: str) -> None:
    message_id = mq.publish_message_to_queue(queue, {})

    answer = site.client.post(f"/queues/q/messages/{message_id}/cancel", data={"token": token})

    assert answer.status_code == 403
    assert mq.find(message_id) is not None


def test_the_token_of_another_session_does_nothing(site: Site, alone: Serving, mq: BizzMQ, queue: str) -> None:
    with httpx.Client(base_url=alone.url) as client:
        other = Site(client)
        other.sign_in(PASSWORD)
        foreign = token_in(other.get("/log").text)

    answer = site.client.post(ACT, data={"token": foreign})

    assert answer.status_code == 403
    assert "another session" in text_of(answer.text)


def test_an_act_is_no_get_and_no_json(site: Site, queue: str) -> None:
    assert site.get(ACT).status_code in (404, 405)
    assert site.client.post(ACT, json={"token": "x"}).status_code == 415
    large, kind = b"a=" + b"x" * (5 * 1024 * 1024), {"content-type": "application/x-www-form-urlencoded"}
    assert site.client.post(ACT, content=large, headers=kind).status_code == 413


def test_the_session_changes_at_signing_in_and_ends_at_signing_out(stranger: Site) -> None:
    stranger.get("/sign-in")
    before = dict(stranger.client.cookies)
    answer = stranger.sign_in(PASSWORD)
    after = dict(stranger.client.cookies)

    assert answer.status_code == 303
    assert before != after
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    stranger.client.post("/sign-out", data={"token": token_in(stranger.get("/log").text)})
    for name, value in after.items():
        stranger.client.cookies.set(name, value)
    assert stranger.get("/").status_code == 303  # the old cookie is worth nothing


def test_deep_json_of_a_browser_or_of_a_message_breaks_no_page(
    site: Site, queue: str, redis: Redis, mq: BizzMQ
) -> None:
    deep = "[" * 2000
    cookie = base64.urlsafe_b64encode(deep.encode()).decode()
    cookies = [f"{name}={value}" for name, value in {**site.client.cookies, "bizzmq_notice": cookie}.items()]
    assert site.get("/", headers={"cookie": "; ".join(cookies)}).status_code == 200
    assert site.get(f"/queues/q/messages?state=waiting&after={cookie}").status_code < 500
    plant(redis, f"1\n{deep}".encode())
    mq.consume_until_empty("q", print, 60)

    page = site.get(f"/queues/q/messages/{ID.decode()}/edit")

    assert page.status_code == 200
    assert deep[:100] in page.text
    answer = site.act(f"/queues/q/messages/{ID.decode()}/edit", body=deep, options="{}")
    assert "The body is nested more than 200 levels deep. Nothing was done." in text_of(answer.text)
    assert mq.stats("q").replayed == 0


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil"])
def test_signing_in_leads_to_no_other_site(stranger: Site, wanted: str) -> None:
    token = token_in(stranger.get("/sign-in").text)

    answer = stranger.client.post("/sign-in", data={"token": token, "password": PASSWORD, "next": wanted})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/"


def test_guessing_is_slow(stranger: Site) -> None:
    began_s = time.monotonic()
    answers = [stranger.sign_in("guess 0")]
    while answers[-1].status_code == 401 and len(answers) < 9:  # a busy machine may give a guess more
        answers.append(stranger.sign_in(f"guess {len(answers)}"))

    assert answers[-1].status_code == 429
    assert len(answers) >= 6
    assert time.monotonic() - began_s >= 2.5
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert stranger.sign_in(PASSWORD).status_code == 429  # the right one has to wait, too


@pytest.mark.parametrize(("said", "status"), [("none", 403), (Role.LOOK, 200), (Access(Role.ACT, "Ada"), 200)])
def test_the_application_says_who_may_do_what(
    url: str, serve: Callable[[Any], Serving], said: Any, status: int
) -> None:
    async def authorize(_request: Any) -> Any:
        return said

    with httpx.Client(base_url=serve(dashboard(url, authorize)).url, timeout=30) as client:
        assert client.get("/").status_code == status
        assert client.get("/sign-in").status_code == 404


@pytest.mark.parametrize("said", [None, True, "admin", 3])
def test_what_is_no_role_lets_nobody_in(url: str, serve: Callable[[Any], Serving], said: Any) -> None:
    with httpx.Client(base_url=serve(dashboard(url, lambda _request: said)).url, timeout=30) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert "queues" not in answer.text.lower()


@pytest.mark.parametrize(
    ("source", "authorize"), [(3, lambda _r: "look"), ("redis://h", None), ("http://h", lambda _r: 1)]
)
def test_bad_arguments_are_one_clear_error(source: Any, authorize: Any) -> None:
    with pytest.raises(ConfigurationError):
        dashboard(source, authorize)


def _command(url: str, *options: str, **variables: str) -> subprocess.Popen[str]:
    import os

    known = {**os.environ, "BIZZMQ_REDIS_URL": url, **variables}
    line = [sys.executable, "-m", "bizzmq", "dashboard", "--port", "0", *options]
    return subprocess.Popen(line, cwd=ROOT, env=known, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("options", "variables", "said"),
    [
        (["--host", "0.0.0.0"], {}, "add --certfile and --keyfile, or --behind-proxy"),
        (["--certfile", "/nothing"], {}, "belong together"),
        (["--certfile", "/nothing", "--keyfile", "/nothing"], {}, "cannot be used"),
        (["--host", "203.0.113.7", "--behind-proxy"], {}, "cannot listen"),
        (["--password-file", "/nothing"], {}, "cannot be read"),
        (["--root-path", "x/"], {}, "must begin with a slash"),
        ([], {"BIZZMQ_DASHBOARD_PASSWORD": "short"}, "too short"),
        (
            [],
            {"BIZZMQ_DASHBOARD_PASSWORD": "the same one", "BIZZMQ_DASHBOARD_LOOK_PASSWORD": "the same one"},
            "the same",
        ),
    ],
)
def test_the_command_refuses_what_is_unsafe_in_one_line(
    monkeypatch: pytest.MonkeyPatch, url: str, options: list[str], variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    ended = CliRunner().invoke(command, [f"--redis-url={url}", "dashboard", *options])

    assert type(ended.exception) is ConfigurationError
    assert said in str(ended.exception)
    assert ended.output == ""


def test_the_command_serves_and_ends_in_order(url: str, tmp_path: Path, queue: str) -> None:
    import signal

    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    with _command(url, "--password-file", str(file)) as running:
        assert running.stderr is not None
        address = running.stderr.readline().split()[-1]
        with httpx.Client(base_url=address, timeout=30) as client:
            eventually(lambda: _answers(client), 30)
            site = Site(client)
            site.sign_in(PASSWORD)
            assert "q" in site.get("/").text
            with client.stream("GET", "/events/", timeout=30) as events:
                next(events.iter_lines())
                running.send_signal(signal.SIGTERM)
                assert running.wait(30) == 0
        assert "Traceback" not in running.stderr.read()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/sign-in").status_code == 200
    except httpx.HTTPError:
        return False


def test_without_a_password_one_is_made_for_this_run(url: str) -> None:
    with _command(url) as running:
        assert running.stderr is not None
        address = running.stderr.readline().split()[-1]
        password = running.stderr.readline().split("run is ")[1].split(" ")[0]
        try:
            with httpx.Client(base_url=address, timeout=30) as client:
                eventually(lambda: _answers(client), 30)
                assert Site(client).sign_in("").status_code == 401
                assert Site(client).sign_in(password).status_code == 303
        finally:
            running.terminate()
            running.wait(30)
