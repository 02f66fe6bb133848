"""The list of log fields in docs/reference/log-fields.md is what the code logs."""

from __future__ import annotations

import ast
import json
import re
import signal
from typing import Any, Callable, Iterator

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "reference" / "log-fields.md").read_text(encoding="utf-8")
ALWAYS, FURTHER = ({*re.findall(r"(?m)^\| `(\w+)` \|", part)} for part in PAGE.split("<!-- fields -->"))
NOT_FIELDS = {"trace", "exc_info", "extra"}
STARRED = {
    "bizzmq/connection/retry.py": "queue", "bizzmq/consumer/settlement.py": "id queue delivery",
    "bizzmq/web/acts.py": "what queue message who role before",
    "workers/janitor/pending_requests.py": "id queue delay_s",
    "workers/supervisor/children/janitor_process.py": "error", "workers/supervisor/requests/stacks.py":
    "slot pid state message queue ran_s", "workers/supervisor/supervisor.py": "kept",
    "workers/supervisor/post_mortem.py":
    "slot pid worker handled message queue signal exit_code oom_killed peak_memory_bytes cpu_s ran_s",
}  # fmt: skip
"""The fields of `log(..., **facts)`, by module."""


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Each call of `log`, with its file."""
    for folder in ("bizzmq", "workers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith("bizzmq/workers/"):
                continue
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)) if "log(" in text else ():
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "log":
                    yield name, node


def test_the_page_has_each_field_that_the_code_names_and_no_other() -> None:
    named = {"logging_failed", "traceback"}
    starred = set()
    for file, call in calls():
        named |= {word.arg for word in call.keywords if word.arg is not None}
        starred |= {file for word in call.keywords if word.arg is None}

    assert starred == {*STARRED}
    for fields in STARRED.values():
        named |= {*fields.split()}
    assert FURTHER | {"pid"} == named - NOT_FIELDS


def test_the_lines_of_a_pool_have_no_other_field(pool_factory: Callable[..., Pool], mq: BizzMQ, url: str) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0))
    bodies: list[dict[str, Any]] = [{"do": "ok"}, {"do": "reject"}, {"do": "kill_self", "times": 1}]
    mq.publish_messages_to_queue("q", bodies)
    pool = pool_factory(url, queue="q", concurrency=1, args=["--log-format", "json", "--health-port", "0"])
    eventually(lambda: (mq.stats("q").acked, mq.stats("q").dead_lettered) == (2, 1), 60)
    pool.signal(signal.SIGTERM)
    assert pool.wait() == 0

    lines = [json.loads(line) for line in pool.log().splitlines() if line.startswith("{")]

    assert {"worker died", "message failed, dead-lettered"} <= {line["event"] for line in lines}
    for line in lines:
        assert {*line} >= ALWAYS
        assert {*line} - ALWAYS - FURTHER == set(), line
