"""Which message a log record belongs to, as attributes of the record."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Dict, NamedTuple

from bizzmq.middleware.base import Middleware
from bizzmq.protocol.nesting import is_deep_value

if TYPE_CHECKING:
    from bizzmq.context import Context


class _Fields(NamedTuple):
    bizzmq_id: str = ""
    bizzmq_task: str = ""
    bizzmq_queue: str = ""
    bizzmq_delivery: int = 0


_NONE = _Fields()
_current: ContextVar[_Fields] = ContextVar("bizzmq_message", default=_NONE)
_NOT_SHOWN = {
    *vars(logging.LogRecord("", 0, "", 0, "", (), None)), "message", "asctime", "bizzmq_fields", "bizzmq_trace",
}  # fmt: skip
"""What every record has, and the fields of BizzMQ's own, which are in its message."""


class LoggingContext(Middleware):
    """Gives each log record the attributes `bizzmq_id`, `bizzmq_task`, `bizzmq_queue` and `bizzmq_delivery`.

    Records of the handler have those of its message, also records of libraries that it calls, of asyncio tasks that it
    starts, and of threads that run in a copy of its `contextvars` context. Other records have "" and, for the
    delivery, 0, so that a format such as `%(bizzmq_id)s` never fails. Records get the attributes from the moment on
    when this object is made: make it before logging is configured. `uninstall` ends that.
    """

    def __init__(self) -> None:
        self._is_on = True
        self._previous = previous = logging.getLogRecordFactory()

        def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = previous(*args, **kwargs)
            if self._is_on:
                vars(record).update(current_message())
            return record

        self._factory = factory
        logging.setLogRecordFactory(factory)

    def uninstall(self) -> None:
        """Give records no attributes any more. A record factory that was set later stays."""
        self._is_on = False
        if logging.getLogRecordFactory() is self._factory:
            logging.setLogRecordFactory(self._previous)

    def before_handler(self, context: Context) -> None:
        """Remember the message for the records that follow."""
        _current.set(_Fields(context.id, context.task, context.queue, context.delivery))


def current_message() -> Dict[str, Any]:
    """The attributes of the message that is being handled, by name, for a formatter or a log library of your own."""
    return _current.get()._asdict()


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, exception, `extra`, and the attributes above.

    Values that JSON cannot express become texts. The time is seconds since the epoch.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record."""
        entry: Dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update((name, value) for name, value in vars(record).items() if name not in _NOT_SHOWN)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        try:
            if not is_deep_value(entry):  # JSON and `str` may end the process at a deeper one
                return json.dumps(entry, default=_text, allow_nan=False)
        except ValueError:  # NaN, which is no JSON
            pass
        return json.dumps({name: _plain(value) for name, value in entry.items()})


def _plain(value: Any) -> Any:
    if is_deep_value(value):
        return f"<{type(value).__name__}>"
    return value if isinstance(value, (str, int)) else _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value that cannot be rendered must not lose the record
        return f"<{type(value).__name__}>"
