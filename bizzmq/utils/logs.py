"""Log lines: a constant sentence plus fields, as text or JSON. Values from outside cannot forge a line."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from typing import Any, Mapping

from bizzmq.errors import Draining, MemoryLimitExceeded, MessageCancelled, MessageTimeout
from bizzmq.utils.log_stream import LineHandler, LineWriter

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
FIELD_LIMIT = 1_000
"""The most characters of a field of a log line, or of a value on the terminal; the rest is cut off."""
TRACE_LIMIT = 10_000
_FIELDS = "bizzmq_fields"
_TRACE_TEXT = "bizzmq_trace"
_LIMITS = (Draining, MemoryLimitExceeded, MessageCancelled, MessageTimeout)
_survives_handlers = False


def log(logger: logging.Logger, level: int, sentence: str, error: Any = None, trace: str = "", **fields: Any) -> None:
    """Log one event.

    Args:
        sentence: a constant; what varies goes into `fields`.
        error: a text, or an exception, which is logged with its traceback.
        trace: a traceback as text.
    """
    if not logger.isEnabledFor(level):
        return
    raised = error if isinstance(error, BaseException) else None
    if error is not None:
        fields["error"] = str(error) if raised is None else f"{type(raised).__name__}: {_safe_text(raised)}"
    info = (type(raised), raised, raised.__traceback__) if raised is not None else None
    try:
        logger.log(level, _Sentence(sentence, fields), exc_info=info, extra={_FIELDS: fields, _TRACE_TEXT: trace})
    except _LIMITS:
        raise
    except Exception as failure:
        if not _survives_handlers:
            raise
        _write_directly(logger, level, _Sentence(sentence, fields), failure)


def survive_handlers() -> None:
    """From now on, if a logging handler or filter of this process raises, write the record to stderr instead."""
    global _survives_handlers  # noqa: PLW0603 - a state of the process
    _survives_handlers = True


def _write_directly(logger: logging.Logger, level: int, sentence: _Sentence, failure: Exception) -> None:
    fields = {**sentence.fields, "logging_failed": f"{type(failure).__name__}: {_safe_text(failure)}"}
    record = logger.makeRecord(logger.name, level, "", 0, sentence, (), None, extra={_FIELDS: fields})
    with contextlib.suppress(AttributeError, OSError, ValueError):  # stderr is closed, or not a file
        LineWriter(sys.stderr.fileno()).write(f"{TextFormatter().format(record)}\n".encode("utf-8", "backslashreplace"))


class _Sentence(str):
    """The `msg` of a record: the constant sentence, so that events can be grouped and compared.

    `str` adds the fields, because other formatters show only that (`%(message)s`).
    """

    __slots__ = ("fields",)
    fields: Mapping[str, Any]

    def __new__(cls, sentence: str, fields: Mapping[str, Any]) -> _Sentence:
        made = super().__new__(cls, sentence)
        made.fields = fields
        return made

    def __str__(self) -> str:
        return " ".join([self[:], *(f"{name}={_field_text(value)}" for name, value in self.fields.items())])

    def __reduce__(self) -> Any:
        return type(self), (self[:], dict(self.fields))


def _event(record: logging.LogRecord) -> str:
    """The sentence of a BizzMQ record without its fields; the whole message of another record."""
    return record.msg[:] if isinstance(record.msg, _Sentence) else record.getMessage()


def _safe_text(error: BaseException) -> str:
    try:
        return cut(str(error))
    except Exception:  # noqa: BLE001 - an error that cannot be formatted must not stop the log
        return "<unprintable>"


def cut(text: str, limit: int = FIELD_LIMIT) -> str:
    """The text, or its first `limit` characters and the number of the others."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} characters more)"


def enable() -> None:
    """Enable the loggers of BizzMQ again: `logging.config` disables existing loggers by default."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.split(".")[0] == "bizzmq":
            logger.disabled = False


def escape(text: str) -> str:
    """The text on one line, with control characters escaped, so that it cannot look like another line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class TextFormatter(logging.Formatter):
    """`2026-11-24T10:00:00.123Z INFO    worker started slot=1 pid=4711`, with the traceback indented below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        parts = [f"{_stamp(record)} {record.levelname:<7} {escape(_event(record))}"]
        parts += [f"{name}={_field_text(value)}" for name, value in fields.items()]
        line = " ".join(parts)
        for text in _trace(self, record).splitlines():
            line += f"\n    | {escape(text)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, event, the fields, and the traceback if there is one."""

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


def _field_text(value: Any) -> str:
    """The value on one line, in quotes if it is empty or contains a space or a quote."""
    text = cut(str(value))
    return escape(json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or not text else text)


def _cut_value(value: Any) -> Any:
    """A field for JSON: a small value unchanged, a large one as text that is cut."""
    return value if len(json.dumps(value, default=str)) <= FIELD_LIMIT else cut(str(value))


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    given: str = getattr(record, _TRACE_TEXT, "")
    try:
        text = formatter.formatException(record.exc_info) if record.exc_info else given
    except Exception:  # noqa: BLE001 - the user's exception may raise while it is formatted
        text = "<the traceback cannot be formatted>"
    half = TRACE_LIMIT // 2
    return text if len(text) <= TRACE_LIMIT else f"{text[:half]}\n...\n{text[-half:]}"


def configure(level: str, style: str) -> None:
    """Send the log of this process to stderr. Only the commands call it; the library does not configure logging."""
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
    except (AttributeError, OSError, ValueError):  # stderr is closed, or not a file
        return logging.StreamHandler(sys.stderr)
