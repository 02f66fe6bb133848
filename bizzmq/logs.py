"""Log lines: a constant sentence plus fields, as text or JSON, that nothing from outside can forge."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Mapping

from bizzmq.log_stream import LineHandler

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
FIELD_LIMIT = 1_000
"""Characters of a field of a log line, a cell of a table, or a fact on the terminal; more of it is cut off."""
TRACE_LIMIT = 10_000
_FIELDS = "bizzmq_fields"
_TRACE_TEXT = "bizzmq_trace"


def log(logger: logging.Logger, level: int, sentence: str, error: Any = None, trace: str = "", **fields: Any) -> None:
    """Write one event. `error` may be text, or an exception whose traceback is then shown; `trace` is one as text."""
    if not logger.isEnabledFor(level):
        return
    raised = error if isinstance(error, BaseException) else None
    if error is not None:
        fields["error"] = str(error) if raised is None else f"{type(raised).__name__}: {_safe_text(raised)}"
    info = (type(raised), raised, raised.__traceback__) if raised is not None else None
    logger.log(level, _Sentence(sentence, fields), exc_info=info, extra={_FIELDS: fields, _TRACE_TEXT: trace})


class _Sentence(str):
    """What a record has as its `msg`: the sentence itself, by which events can be grouped and compared.

    As text, as formatters of others show it (`%(message)s`), the facts follow it: which message, which queue.
    """

    __slots__ = ("fields",)
    fields: Mapping[str, Any]

    def __new__(cls, sentence: str, fields: Mapping[str, Any]) -> _Sentence:
        made = super().__new__(cls, sentence)
        made.fields = fields
        return made

    def __str__(self) -> str:
        return " ".join([self[:], *(f"{name}={_plain(value)}" for name, value in self.fields.items())])

    def __reduce__(self) -> Any:
        return type(self), (self[:], dict(self.fields))


def _event(record: logging.LogRecord) -> str:
    """The sentence of a record of ours without its facts; the whole message of another one."""
    return record.msg[:] if isinstance(record.msg, _Sentence) else record.getMessage()


def _safe_text(error: BaseException) -> str:
    try:
        return cut(str(error))
    except Exception:  # noqa: BLE001 - an error that cannot be rendered must not stop the log
        return "<unprintable>"


def cut(text: str, limit: int = FIELD_LIMIT) -> str:
    """The text, or its beginning and how much of it is left out."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} characters more)"


def enable() -> None:
    """Undo what `logging.config` does to loggers that exist already: it disables them."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.split(".")[0] == "bizzmq":
            logger.disabled = False


def escape(text: str) -> str:
    """The text on one line, without control characters, so that it cannot pretend to be another line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class TextFormatter(logging.Formatter):
    """`2026-11-24T10:00:00.123Z INFO  worker started  slot=1 pid=4711`, tracebacks indented below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        parts = [f"{_stamp(record)} {record.levelname:<7} {escape(_event(record))}"]
        parts += [f"{name}={_plain(value)}" for name, value in fields.items()]
        line = " ".join(parts)
        for text in _trace(self, record).splitlines():
            line += f"\n    | {escape(text)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, the fields, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
            "pid": record.process,
            **{name: _cut_value(value) for name, value in getattr(record, _FIELDS, {}).items()},
        }
        trace = _trace(self, record)
        if trace:
            entry["traceback"] = trace
        return json.dumps(entry, default=str)


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _plain(value: Any) -> str:
    text = escape(cut(str(value)))
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or not text else text


def _cut_value(value: Any) -> Any:
    """For JSON: what is small stays as it is, what is large becomes text that is cut."""
    return value if len(json.dumps(value, default=str)) <= FIELD_LIMIT else cut(str(value))


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    given: str = getattr(record, _TRACE_TEXT, "")
    try:
        text = formatter.formatException(record.exc_info) if record.exc_info else given
    except Exception:  # noqa: BLE001 - the user's exception may break while it is rendered
        text = "<the traceback cannot be rendered>"
    half = TRACE_LIMIT // 2
    return text if len(text) <= TRACE_LIMIT else f"{text[:half]}\n...\n{text[-half:]}"


def configure(level: str, style: str) -> None:
    """Send the log of this process to stderr. For the commands; the library itself configures nothing."""
    handler = _stderr()
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def _stderr() -> logging.Handler:
    try:
        return LineHandler(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # it is closed, or no file at all
        return logging.StreamHandler(sys.stderr)
