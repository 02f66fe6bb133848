"""A value that is too deep, or contains itself, is refused before Python's stack ends: no process dies of it.

C code that follows a value stops at Python's recursion limit. That is too late in a program that has raised the limit
beyond its stack (before CPython 3.12), and on CPython 3.8 if a finalizer runs near the limit.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

VALUES = """
import base64, json, sys
from dataclasses import dataclass, field
from typing import Any, List, Optional, Tuple

@dataclass
class Node:
    held: List[Any] = field(default_factory=list)
    other: "Optional[Node]" = None

def deep(wrap):
    value = 0
    for _ in range(100_000):
        value = wrap(value)
    return value

def cycle(value):
    if isinstance(value, dict):
        value["k"] = value
    else:
        getattr(value, "held", value).append(value)
    return value

text = "[" * 100_000 + "]" * 100_000
"""
DUMPED = "from bizzmq.protocol import json_codec\njson_codec.dumps({value})"
BY_STDLIB = "from bizzmq.protocol.json_codecs import stdlib\nstdlib.dumps({value})"
PUBLISHED = """
from bizzmq.app.arguments import Arguments
def function(x): ...
function.__annotations__ = {{"x": {annotation}}}
Arguments(function, "task", takes_context=False).encode(({value},), {{}})
"""
NEEDS_MSGSPEC = {
    "a dataclass in itself": ("Node", "cycle(Node())"),
    "a dataclass in its field of a class": ("Node", "deep(lambda held: Node([], held or None))"),
    "a dataclass in an attribute that is no field": (
        "Node",
        "deep(lambda held: vars(node := Node()).update(more=held) or node)",
    ),
    "a list in a field of any type": ("Node", "Node(deep(lambda held: [held]))"),
    "a list for a tuple": ("Tuple[int, ...]", "cycle([])"),
    "tuples": ("tuple", "deep(lambda held: (held,))"),
    "objects for a tuple": ("Tuple[int, ...]", "({1: cycle({})},)"),
}
REFUSED = {
    "a list in itself": DUMPED.format(value="cycle([])"),
    "an object in itself": DUMPED.format(value="cycle({})"),
    "lists": DUMPED.format(value="deep(lambda held: [held])"),
    "tuples and objects": DUMPED.format(value="deep(lambda held: ({'k': held}, 1.5))"),
    "a list in itself, standard library": BY_STDLIB.format(value="cycle([])"),
    "objects, standard library": BY_STDLIB.format(value="deep(lambda held: {'k': held})"),
    "an argument of JSON": PUBLISHED.format(annotation="list", value="deep(lambda held: [held])"),
    "an edited dead letter": "from bizzmq.cli.dlq.editor import parsed\nparsed(text)",
    "a document on the command line": "from bizzmq.cli.input_lines import read_document\nread_document(text, 'x')",
    "a place in a listing": """
from bizzmq.admin.listing import decode_cursor
decode_cursor(base64.urlsafe_b64encode(text.encode()).decode(), "q", "waiting")
""",
}
READ = {
    "a record of a log": """
import logging
from bizzmq.middleware.logging_context import JsonFormatter
record = logging.makeLogRecord({"msg": "said", "deep": deep(lambda held: [held]), "cycle": cycle({})})
shown = json.loads(JsonFormatter().format(record))
assert (shown["message"], shown["deep"], shown["cycle"]) == ("said", "<list>", "<dict>"), shown
""",
    "a pause": """
from bizzmq.admin.activity.pauses import pause_of
assert pause_of("q", "queue", text.encode()).by == ""
""",
}


def ended(program: str, limit: int = 10**6) -> str:
    """The last line that a program writes, which ends by itself or with an exception, but not of a signal."""
    whole = f"{VALUES}\nsys.setrecursionlimit({limit})\n{program}"
    done = subprocess.run([sys.executable, "-c", whole], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode()
    assert done.returncode in (0, 1), text[:400]
    return (text.splitlines() or [""])[-1]


@pytest.mark.parametrize("program", REFUSED.values(), ids=REFUSED)
def test_a_raised_recursion_limit_does_not_let_a_deep_value_end_the_process(program: str) -> None:
    last = ended(program)

    assert "Error" in last
    assert len(last) < 400
    assert "200 levels" in last or "must be the `next` of a page" in last


@pytest.mark.parametrize(("annotation", "value"), NEEDS_MSGSPEC.values(), ids=NEEDS_MSGSPEC)
def test_nor_an_argument_of_a_class(annotation: str, value: str) -> None:
    pytest.importorskip("msgspec")

    assert "nested more than 200 levels deep, or contains itself" in ended(
        PUBLISHED.format(annotation=annotation, value=value)
    )


@pytest.mark.parametrize("program", READ.values(), ids=READ)
def test_what_is_only_read_is_read_as_far_as_it_can_be(program: str) -> None:
    assert ended(program) == ""


FINALIZERS = """
import gc
from bizzmq.app.arguments import Arguments
from bizzmq.errors import ArgumentsError
class Garbage:
    def __init__(self):
        self.me = self
    def __del__(self):
        self.again(5)
    def again(self, levels):
        if levels:
            self.again(levels - 1)
def function(x): ...
function.__annotations__ = {"x": Node}
arguments = Arguments(function, "task", takes_context=False)
arguments.encode((Node(),), {})
sys.unraisablehook = lambda _: None
value = cycle(Node())
for threshold in range(5, 3000, 5):
    gc.disable()
    gc.collect()
    Garbage()
    gc.set_threshold(threshold)
    gc.enable()
    try:
        arguments.encode((value,), {})
    except ArgumentsError:
        continue
    raise AssertionError("it is not refused")
"""


def test_finalizers_that_run_meanwhile_do_not_end_the_process() -> None:
    """At some of the thresholds the garbage is collected near the recursion limit."""
    pytest.importorskip("msgspec")

    assert ended(FINALIZERS, 1000) == ""
