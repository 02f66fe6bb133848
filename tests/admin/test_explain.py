"""Each situation of a message has its sentence: a row for each, on a real server."""

from __future__ import annotations

import re
import time

import pytest

from bizzmq import App
from bizzmq.admin.explain.explanation import SITUATIONS
from tests.admin.situations import ROWS, Stage, ended, failing, nothing, parked, stage
from tests.pool.command import OPERATOR, run

__all__ = ["stage"]


@pytest.mark.parametrize("name", ROWS)
def test_each_situation_has_its_sentence(stage: Stage, name: str) -> None:
    row = ROWS[name]

    message_id = row.build(stage)

    found = stage.mq.explain(message_id, "plain" if name == "discarded" else "q")
    assert re.fullmatch(row.sentence, found.sentence), found.sentence
    assert found.situation == row.situation
    assert found.id == message_id


def test_the_rows_show_all_situations() -> None:
    assert {row.situation for row in ROWS.values()} == {one.name for one in SITUATIONS}


def test_without_a_queue_all_are_searched(stage: Stage) -> None:
    waiting, kept = stage.publish(), ended(lambda body: body, "plain", result_ttl_s=60)(stage)

    assert (stage.mq.explain(waiting).queue, stage.mq.explain(kept).queue) == ("q", "plain")
    assert stage.mq.explain("0" * 13 + "abcdefg").sentence.startswith("no queue stores it")


def test_the_command_says_the_sentence_or_its_facts(stage: Stage) -> None:
    message_id = failing(stage)

    said = run(OPERATOR, "explain", message_id, BIZZMQ_REDIS_URL=stage.url)
    assert (said.code, said.out[:40]) == (0, stage.mq.explain(message_id).sentence[:40])
    found = run(OPERATOR, "explain", message_id, "-q", "q", "--json", BIZZMQ_REDIS_URL=stage.url).json()
    assert (found["situation"], found["state"]) == ("delayed_by_retry", "delayed")
    assert found["facts"]["last_error"] == "ZeroDivisionError: division by zero"
    shown = run(OPERATOR, "show", message_id, BIZZMQ_REDIS_URL=stage.url)
    assert "last_error" in shown.out
    assert "body:\n  1" in shown.out


def test_show_has_everything_and_escapes_it(stage: Stage) -> None:
    message_id = parked(stage)
    stage.publish({"text": "\x1b[31m"})

    shown = run(OPERATOR, "show", message_id, BIZZMQ_REDIS_URL=stage.url)

    assert shown.code == 0
    assert "\x1b" not in shown.out
    for text in ("the error by which it has failed:", "the error of the dead-letter queue's own handler:", "Traceback"):
        assert text in shown.out
    details = stage.mq.show_message(message_id)
    assert details.body == 1
    assert details.sections["error"]["error_type"] == "Reject"
    found = run(OPERATOR, "show", message_id, "--json", BIZZMQ_REDIS_URL=stage.url).json()
    grows = {name: details.as_dict()[name] for name in ("facts", "sentence")}  # ages, a moment later
    assert {**found, **grows} == details.as_dict()


def test_show_has_what_happened_also_where_the_queue_does_not_note_it(stage: Stage) -> None:
    message_id = parked(stage)
    known = stage.mq.history(message_id)

    assert [(entry.event, entry.why[:6]) for entry in known.entries] == [
        ("published", ""), ("dead_lettered", "Reject"), ("parked", "ZeroDi"),
    ]  # fmt: skip
    assert all(abs((entry.at_s or 0) - time.time()) < 60 for entry in known.entries)
    assert not known.is_recorded

    stage.mq.update_queue("q", {"history": True})
    noted = stage.publish("\x1b[31m")
    stage.pool("bad\x1bworker\n")
    stage.claim(worker="bad\x1bworker\n")

    shown = run(OPERATOR, "show", noted, BIZZMQ_REDIS_URL=stage.url)
    assert re.search(r"^history:\n  \S+Z published\n  \S+Z claimed +by=.+ delivery=1$", shown.out, re.MULTILINE)
    assert "\x1b" not in shown.out
    found = run(OPERATOR, "show", noted, "--json", BIZZMQ_REDIS_URL=stage.url).json()
    assert found["history"] == stage.mq.history(noted).as_dict()
    assert found["history"]["entries"][1]["event"] == "claimed"


def test_a_handle_explains_itself(stage: Stage) -> None:
    app = App(stage.url)
    handle = app.task(nothing, name="a.task", queue="q").publish()

    assert handle.explain().situation == "no_worker"
    assert [entry.event for entry in handle.history().entries] == ["published"]
    app.close()


def test_a_result_is_shown(stage: Stage) -> None:
    message_id = ended(lambda _body: {"n": 5}, result_ttl_s=60)(stage)

    assert stage.mq.show_message(message_id, "q").sections["result"]["value"] == {"n": 5}
    assert '"n": 5' in run(OPERATOR, "show", message_id, BIZZMQ_REDIS_URL=stage.url).out
