"""The questions of docs/operations/questions.md, each answered within two clicks and by its command, of a real pool."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import pytest

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, run
from tests.support.paths import ROOT
from tests.web import operated as operated_app
from tests.web.site import Site, text_of

ROWS = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "docs/operations/questions.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and "`bizzmq" in line
]


class Answer(NamedTuple):
    """How a question is answered.

    Attributes:
        clicks: the texts or addresses of the links, from the first page on.
        page, printed: what the page and the command say.
    """

    clicks: List[str]
    page: str
    printed: str


class Operated(NamedTuple):
    """What happens on the server. `stuck` runs and hangs, and `waiting` waits behind it."""

    stuck: str
    waiting: str
    pid: int


def answers(on: Operated) -> Dict[str, Answer]:
    """By question."""
    return {
        "What is wrong now?": Answer([], "q has waited|more dead letters|dead letter", "q has 2 new dead letters"),
        "What is stuck, why, and since when?": Answer(
            [">q<", on.waiting], "behind|all workers are busy|busy", "busy|behind"
        ),
        "Who works on what, and for how long?": Answer([">Pools<"], on.stuck, on.stuck),
        "What does that worker execute?": Answer([">Pools<", on.stuck], "Live stack|Stack", "hang"),
        "What changed at 3:10?": Answer([">q<"], "Deploys", "was started with"),
        "Which task is slow?": Answer([">q<"], "By task", "report"),
        "Which tenant uses the processors?": Answer([">Cost<"], "tenant-7 q", "tenant-7"),
        "What has failed, how often, and since when?": Answer([">Failures<"], "LookupError", "LookupError"),
        "Which workers have died, and of what?": Answer([">Failures<"], "SIGKILL", "died: sigkill [1-3] in deadly"),
        "Which code runs where?": Answer([">Pools<"], str(on.pid), str(on.pid)),
        "What is paused, by whom, and why?": Answer([">other<"], "Ada.*stocktaking", "Ada.*stocktaking"),
        "Did the nightly job run, and when is it next?": Answer([">Schedules<"], "nightly", "nightly"),
    }


@pytest.fixture
def operated(
    url: str, mq: BizzMQ, pool_factory: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Operated]:
    """A pool of one worker that hangs, after successes, a failure and a death; a pause; a schedule."""
    monkeypatch.setenv("BIZZMQ_REDIS_URL", url)
    for name in ("q", "other"):
        mq.create_queue(name, QueueOptions(config_dead_letter_queue=True))
    pool = pool_factory(url, handler="tests.web.operated:app", concurrency=1, of_app=True)
    for task, options, arguments in (
        (operated_app.report, {"key": "tenant-7"}, (0.05,)), (operated_app.bad, {}, ()), (operated_app.deadly, {}, ()),
    ):  # fmt: skip
        task.using(**options).publish(*arguments)  # type: ignore[arg-type]
    eventually(lambda: mq.stats("q").dead_lettered == 2, 60)
    gate = tmp_path / "gate"
    stuck = operated_app.hang.publish(str(gate)).id
    eventually(lambda: mq.stats("q").processing == 1, 60)
    waiting = operated_app.report.publish(0.0).id
    mq.pause("other", by="Ada", reason="stocktaking")
    mq.schedule("nightly", "other", {}, every_s=86_400)
    eventually(lambda: mq.metrics("q").total.deaths, 60)
    yield Operated(stuck, waiting, pool.supervisor_pid)
    gate.touch()
    operated_app.app.close()


def test_each_question_is_answered_within_two_clicks_and_by_its_command(
    url: str, site: Site, operated: Operated
) -> None:
    expected = answers(operated)
    assert [question for question, *_ in ROWS] == list(expected)
    for question, _, text in ROWS:
        answer = expected[question]
        assert len(answer.clicks) <= 2
        says(lambda: walked(site, answer.clicks), answer.page, question)  # noqa: B023 - called at once

        subject = operated.stuck if "stack" in text else operated.waiting
        words = text.strip("`").replace("QUEUE", "q").replace("ID", subject).split()
        says(lambda: output_of(url, words[1:]), answer.printed, question)  # noqa: B023 - called at once
    pool = re.search(r'href="(/pools/[^"]+)"', site.get("/pools").text)
    assert pool is not None
    eventually(lambda: "Workers by slot" in site.get(pool[1]).text, 60)  # it notes what it uses


def walked(site: Site, clicks: List[str]) -> str:
    """The text of the page that is reached by these links."""
    page = site.get("/").text
    for link in clicks:
        page = site.get(href_of(link, page)).text
    return text_of(page)


def output_of(url: str, words: List[str]) -> str:
    ended = run(OPERATOR, "--redis-url", url, *words)
    return ended.out + ended.err


def says(found: Callable[[], str], pattern: str, question: str) -> None:
    """Look until it says that: what pools report comes a little later."""
    seen = [""]
    eventually(lambda: re.search(pattern, seen.append(found()) or seen[-1]), 60, lambda: f"{question}: {seen[-1]}")  # type: ignore[func-returns-value]


def href_of(link: str, page: str) -> str:
    """The address of the first link with this text, or with this in its address."""
    found = [address for address, text in re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>(.*?)</a>', page, re.DOTALL)
             if f">{text.strip()}<" == link or link in address]  # fmt: skip
    assert found, (link, page)
    return html.unescape(found[0])
