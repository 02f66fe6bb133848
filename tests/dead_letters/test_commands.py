"""`bizzmq dlq` and `bizzmq replay` as an operator types them."""

from __future__ import annotations

import json
import stat
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from tests.dead_letters.letters import bury, record
from tests.scripts.containers import everything
from tests.support.forked_command import Terminal, bizzmq


@pytest.fixture
def letters(mq: BizzMQ, redis: Redis) -> list[str]:
    """Three failures of one line, two of another one, and a crash."""
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    return bury(
        redis, *(record(error=f"no {number}\x1b[31m") for number in range(3)), *(record("KeyError") for _ in "ab"),
        record("WorkerCrashed", signal="SIGKILL", failed_s=7200, age_s=7300), key="acme",
    )  # fmt: skip


@pytest.fixture
def ask(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `bizzmq`, with a directory for temporary files of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return partial(bizzmq, REDIS_URL=url)


@pytest.fixture
def editor(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes an editor that runs some code with the path `p`."""

    def make(code: str) -> str:
        script = tmp_path_factory.mktemp("editor") / "an editor.py"
        script.write_text(f"import json, pathlib, sys\np = pathlib.Path(sys.argv[-1])\n{code}\n")
        return f"{sys.executable} -S '{script}'"

    return make


def test_groups_are_shown_largest_first(ask: Any, letters: list[str]) -> None:
    found = ask("dlq", "groups", "q", "--json").json()
    head, first, *_ = ask("dlq", "groups", "q_dlq").lines()

    assert [(one["error_type"], one["count"], one["where"]) for one in found] == [
        ("ValueError", 3, "tasks.py:3 in send"), ("KeyError", 2, "tasks.py:3 in send"),
        ("WorkerCrashed", 1, "tasks.py:3 in send"),
    ]  # fmt: skip
    assert head.split() == ["fingerprint", "count", "first", "last", "error_type", "where", "error"]
    assert first.split()[:2] == [found[0]["fingerprint"], "3"]
    assert "\x1b" not in first


def test_groups_fit_a_narrow_terminal(url: str, letters: list[str]) -> None:
    with Terminal("dlq", "groups", "q", columns=60, REDIS_URL=url) as shown:
        head, *rows = shown.lines()

    assert head.split()[:2] == ["fingerprint", "count"]
    assert len(rows) == 3
    assert max(map(len, [head, *rows])) <= 60


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--error", "KeyError"], [3, 4]), (["--older", "1h"], [5]), (["--text", "NO 1"], [1]), (["--task", "t"], []),
        (["--key", "acme"], "all"), (["--key", "other"], []),
    ],
)  # fmt: skip
def test_filters_choose_for_lists_and_replays(
    ask: Any, mq: BizzMQ, letters: list[str], options: list[str], expected: Any
) -> None:
    chosen = letters if expected == "all" else [letters[number] for number in expected]

    assert [one["id"] for one in ask("dlq", "list", "q", *options, "--json").json()] == chosen
    assert ask("dlq", "replay", "q", *options).lines() == [f"{len(chosen)} message{'s' * (len(chosen) != 1)} replayed"]
    assert {one.id for one in mq.messages("q").messages} == set(chosen)


def test_a_group_is_replayed_by_its_fingerprint_at_a_rate(ask: Any, mq: BizzMQ, letters: list[str]) -> None:
    group = ask("dlq", "groups", "q", "--json").json()[1]

    replayed = ask("replay", "-q", "q", "--fingerprint", group["fingerprint"], "--rate", "20/s")

    assert replayed.lines() == ["2 messages replayed"]
    assert {one.id for one in mq.messages("q").messages} == set(letters[3:5])


def test_ids_are_found_in_all_queues(ask: Any, mq: BizzMQ, letters: list[str]) -> None:
    mq.create_queue("other", QueueOptions(config_dead_letter_queue=True))

    assert ask("replay", letters[1], letters[3]).lines() == ["2 messages replayed"]
    assert ask("replay", "-q", "q", "--all").lines() == ["4 messages replayed"]


REFUSED = {
    "no id": (["replay"], "give the ID of a dead letter"),
    "a queue without consent": (["replay", "-q", "q"], "add --all"),
    "ids and all": (["replay", "x", "--all", "-q", "q"], "not both"),
    "ids and a filter": (["replay", "x", "--error", "E"], "not both"),
    "an unknown id": (["replay", "nobody"], "no dead letter 'nobody'"),
    "an unknown id of a queue": (["dlq", "replay", "q", "nobody"], "no dead letter 'nobody' in 'q'"),
    "a rate": (["dlq", "replay", "q", "--rate", "10"], "--rate must be"),
    "an age": (["dlq", "list", "q", "--older", "yesterday"], "is no time span"),
    "a fingerprint": (["dlq", "groups", "q", "--fingerprint", "x"], "--fingerprint must be 12 hex digits"),
    "an edit of all": (["dlq", "replay", "q", "--edit"], "exactly one ID"),
    "the debugger without a handler": (["replay", "x", "--pdb"], "--pdb needs --handler"),
    "the debugger with an edit": (["replay", "x", "--pdb", "--handler", "m:f", "--edit"], "leave out --edit"),
    "a file that is not there": (["replay", "ID", "--edited", "/no/file"], "cannot be read"),
    "an editor that is not there": (["replay", "ID", "--edit"], "set EDITOR"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line_and_replays_nothing(ask: Any, redis: Redis, letters: list[str], name: str) -> None:
    arguments, text = REFUSED[name]
    before = everything(redis)

    ended = ask(*(letters[0] if one == "ID" else one for one in arguments), EDITOR="/no/editor")

    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1), ended
    assert text in ended.err
    assert everything(redis) == before


def test_a_message_that_is_no_dead_letter_is_named(ask: Any, mq: BizzMQ, letters: list[str]) -> None:
    waiting = mq.publish_message_to_queue("q", 1)

    assert f"'{waiting}' is no dead letter: it is waiting in 'q'" in ask("replay", waiting).err


def test_an_edit_replays_what_was_saved(ask: Any, editor: Any, mq: BizzMQ, letters: list[str], tmp_path: Path) -> None:
    code = """p.write_text(p.read_text().replace('"n": 1', '"n": 5'))"""

    shown = ask("replay", letters[1], "--edit", EDITOR=editor(code))

    assert shown.lines() == ["1 message replayed, as edited"]
    (waiting,) = mq.messages("q").messages
    assert (waiting.id, waiting.body) == (letters[1], {"n": 5})
    assert not [*tmp_path.iterdir()]


def test_an_edited_text_with_an_error_is_kept_for_another_try(
    ask: Any, editor: Any, mq: BizzMQ, redis: Redis, letters: list[str], tmp_path: Path
) -> None:
    before = everything(redis)

    failed = ask("dlq", "replay", "q", letters[0], "--edit", EDITOR=editor("p.write_text(p.read_text() + '}')"))

    (kept,) = tmp_path.iterdir()
    assert (failed.code, failed.out, len(failed.err.splitlines())) == (2, "", 1)
    assert "is not JSON: Extra data: line" in failed.err
    assert failed.err.endswith(f"the text is kept: bizzmq replay {letters[0]} --edit --edited {kept}\n")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert everything(redis) == before

    text = kept.read_text()[:-1].replace('"n": 0', '"n": 9')
    again = ask("replay", letters[0], "--edit", "--edited", str(kept), VISUAL=editor(f"p.write_text({text!r})"))

    assert again.lines() == ["1 message replayed, as edited"]
    assert mq.messages("q").messages[0].body == {"n": 9}


INVALID: dict[str, tuple[str, int, str]] = {
    "nothing changed": ("pass", 1, "nothing was changed"),
    "an editor that fails": ("sys.exit(3)", 1, "exit code 3"),
    "a number": ("p.write_text('7')", 2, "must be an object"),
    "no body": ("p.write_text('{}')", 2, "must be an object"),
    "NaN": ("""p.write_text('{"body": NaN}')""", 2, "NaN is no value of JSON"),
    "an unknown option": ("""p.write_text('{"body": 1, "options": {"hue": 1}}')""", 2, "there is no option 'hue'"),
    "a wrong option": ("""p.write_text('{"body": 1, "options": {"priority": "x"}}')""", 2, "priority must be"),
    "too large": ("p.write_text(json.dumps(dict(body='x' * 2**20)))", 2, "the limit is 1048576"),
    "no text": ("p.write_bytes(bytes([255]))", 2, "cannot be read"),
    "no file": ("p.unlink()", 2, "cannot be read"),
}


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_edit_is_one_line_and_replays_nothing(
    ask: Any, editor: Any, redis: Redis, letters: list[str], name: str
) -> None:
    code, exit_code, text = INVALID[name]
    before = everything(redis)

    ended = ask("replay", letters[2], "--edit", EDITOR=editor(code))

    assert (ended.code, ended.out, len(ended.err.splitlines())) == (exit_code, "", 1), ended
    assert text in ended.err
    assert everything(redis) == before


def test_a_letter_that_is_purged_while_it_is_edited_is_not_replayed(
    ask: Any, editor: Any, mq: BizzMQ, letters: list[str], url: str, tmp_path: Path
) -> None:
    save = "p.write_text(json.dumps(dict(body=1)))"
    purge = (
        f"import subprocess; subprocess.check_call({[sys.executable, '-m', 'bizzmq', 'dlq', 'purge', 'q', '--yes']})"
    )

    ended = ask("replay", letters[2], "--edit", EDITOR=editor(f"{save}\n{purge}"))

    assert (ended.code, len(ended.err.splitlines())) == (1, 1), ended
    assert "meanwhile, so nothing was replayed" in ended.err
    assert [json.loads(one.read_text()) for one in tmp_path.iterdir()] == [{"body": 1}]
    assert mq.messages("q").messages == []
