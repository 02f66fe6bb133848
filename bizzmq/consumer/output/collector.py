"""Collects the log records of handlers as the output of their messages.

Records are collected where they are made, by the record factory: `logging` may be configured anew at any time, also by
the user's module, without an effect on that. Which message a record belongs to costs a message nothing: the handler of
a thread knows its context anyway. Async code has it in a context variable, because several messages may share a loop.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from contextvars import ContextVar
from typing import Any, Callable, Dict, Optional

from bizzmq.context import Context
from bizzmq.errors import CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageCancelled, MessageTimeout

_INTERRUPTS = (CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageCancelled, MessageTimeout)
_threads: Dict[int, Callable[[], Optional[Context]]] = {}
_in_async: ContextVar[Optional[Context]] = ContextVar("bizzmq_output", default=None)
_previous: Any = None


def follow(running: Callable[[], Context | None]) -> None:
    """From now on, collect what the message that this thread runs logs.

    Args:
        running: the context of the message that runs now; None between messages.
    """
    _threads[threading.get_ident()] = running
    _install()


def unfollow() -> None:
    """This thread runs no more messages."""
    _threads.pop(threading.get_ident(), None)


def enter_async() -> None:
    """Code of this thread's message is about to run in an event loop: its tasks and their threads are the message's."""
    running = _threads.get(threading.get_ident())
    _in_async.set(None if running is None else running())


def leave_async() -> None:
    """This thread is out of the event loop."""
    _in_async.set(None)


def _install() -> None:
    global _previous  # noqa: PLW0603 - logging has one factory for each process, too
    if _previous is None:
        _previous = logging.getLogRecordFactory()
        logging.setLogRecordFactory(_make)


def _make(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record: logging.LogRecord = _previous(*args, **kwargs)
    context = _in_async.get() or _of_thread()
    if context is not None and not _is_own(record.name):
        try:
            context.write_output(_line(record))
        except _INTERRUPTS:
            raise
        except Exception:  # noqa: BLE001, S110 - a record with wrong arguments is no failure of the message
            pass
    return record


def _of_thread() -> Context | None:
    running = _threads.get(threading.get_ident())
    if running is None or _is_in_loop():
        return None  # tasks that hooks have left in a loop belong to no message
    return running()


def _is_in_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # not imported where nothing is async
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001 - documented, in C


def _is_own(name: Any) -> bool:
    return not isinstance(name, str) or name == "bizzmq" or name.startswith("bizzmq.")


def _line(record: logging.LogRecord) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    text = f"{stamp}.{int(record.msecs):03d}Z {record.levelname:<7} {record.name}: {record.getMessage()}"
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
    return text
