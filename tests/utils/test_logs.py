"""Log lines that input from outside cannot forge."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from bizzmq.utils.logs import JsonFormatter, TextFormatter, escape, log

FORGERY = "x\n2026-11-24T10:00:00.123Z ERROR   all is lost\r\x1b[31m\x00\u2028\x85 id=1"


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot be rendered")


class Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def record_of(sentence: str = "message failed", error: Any = None, **fields: Any) -> logging.LogRecord:
    logger = logging.Logger("bizzmq.test")  # noqa: LOG001 - one that no other test shares
    collector = Collector()
    logger.addHandler(collector)
    log(logger, logging.WARNING, sentence, error=error, **fields)
    return collector.records[0]


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_text_line_is_time_level_sentence_and_fields() -> None:
    line = TextFormatter().format(record_of(id="abc", delivery=2, error="two words"))

    time, level, rest = line.split(" ", 2)
    assert time.endswith("Z")
    assert level == "WARNING"
    assert rest == 'message failed id=abc delivery=2 error="two words"'


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a\nb", r"a\nb"), ("a b\n", r'"a b\n"'), ('"\t', r'"\"\t"'), ("x \u2028", r'"x \u2028"'), ("a\\ b", r'"a\\ b"')],
)
def test_a_field_is_escaped_only_once(value: str, shown: str) -> None:
    assert TextFormatter().format(record_of(id=value)).endswith(f" id={shown}")


@pytest.mark.parametrize("field", ["id", "error"])
def test_a_field_cannot_start_a_new_line(field: str) -> None:
    line = TextFormatter().format(record_of(**{field: FORGERY}))

    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert f'{field}="x' in line


def test_a_field_cannot_pretend_to_be_another_field() -> None:
    line = TextFormatter().format(record_of(id='1 queue=forged "x"'))

    assert 'id="1 queue=forged' in line


@pytest.mark.parametrize("error", [ValueError(FORGERY), UnprintableError()], ids=["forgery", "unprintable"])
def test_a_traceback_is_indented_below_its_line(error: Exception) -> None:
    first, *rest = TextFormatter().format(record_of(error=raised(error))).splitlines()

    assert type(error).__name__ in first
    assert rest
    assert all(line.startswith("    | ") and line.isprintable() for line in rest)


@pytest.mark.parametrize("error", [FORGERY, ValueError(FORGERY), UnprintableError()], ids=["text", "error", "odd"])
def test_a_json_line_is_one_object(error: Any) -> None:
    given = raised(error) if isinstance(error, Exception) else error
    line = JsonFormatter().format(record_of(error=given, id=FORGERY, odd=object()))

    assert len(line.splitlines()) == 1
    entry = json.loads(line)
    assert (entry["level"], entry["event"], entry["logger"], entry["id"]) == (
        "warning", "message failed", "bizzmq.test", FORGERY,
    )  # fmt: skip
    assert ("traceback" in entry) == isinstance(error, Exception)


def test_a_message_of_another_library_cannot_forge_a_line_either() -> None:
    record = logging.LogRecord("other", logging.ERROR, "file", 1, "a %s", (FORGERY,), None)

    assert len(TextFormatter().format(record).splitlines()) == 1


def test_a_huge_traceback_is_cut() -> None:
    line = TextFormatter().format(record_of(error=raised(ValueError("x" * 10**6))))

    assert len(line) < 13_000


def test_printable_text_is_unchanged() -> None:
    assert escape("é漢字😀 \\ 'x'") == "é漢字😀 \\ 'x'"
    assert escape("\t\x7f\ud800\u200b") == "\\t\\x7f\\ud800\\u200b"


def test_a_line_below_the_level_is_not_rendered() -> None:
    logger = logging.Logger("bizzmq.test", level=logging.ERROR)  # noqa: LOG001 - as above
    collector = Collector()
    logger.addHandler(collector)

    log(logger, logging.WARNING, "not written")

    assert collector.records == []
