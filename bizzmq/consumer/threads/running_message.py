"""The message that a thread of this process runs, and its cancel by another thread.

Python raises an exception in another thread between two instructions of Python code. So a handler is not interrupted in
C code, such as a `sleep`, until that returns; what is async is interrupted where it waits.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Type

from bizzmq.consumer.handlers.handler import Handler
from bizzmq.context import Context, message_of
from bizzmq.errors import MessageCancelled
from bizzmq.utils import clock

_MOMENT_S = 0.001


class RunningMessage:
    """Notes what the handler runs. One thread runs messages, another one cancels them.

    Args:
        handler: its `run` is replaced.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._run = handler.run
        handler.run = self.run  # type: ignore[method-assign]
        self._context: Context | None = None
        self._asked: Context | None = None
        self._thread = 0
        self._is_cancelling = False

    @property
    def context(self) -> Context | None:
        """The context of the running message whose cancel is not requested yet; None without one."""
        context = self._context
        return None if context is self._asked else context

    @property
    def running(self) -> Context | None:
        """The context of the running message; None without one."""
        return self._context

    def run(self, body: Any, context: Context) -> BaseException | None:
        """As `Handler.run`. A cancel is raised in it, and never afterwards."""
        failure: BaseException | None = None
        try:
            self._thread, self._context = threading.get_ident(), context
            failure = self._run(body, context)
        except MessageCancelled as late:  # outside of the user's handler
            failure = late
        return self._end() or failure

    def _end(self) -> BaseException | None:
        """Take no further cancel. Returns the one that has come meanwhile."""
        late: BaseException | None = None
        while True:
            try:
                self._context = None
                while self._is_cancelling:
                    clock.sleep(_MOMENT_S)
                if self._asked is not None:
                    self._asked = None
                    _drop_pending()
                return late
            except MessageCancelled as error:
                late = error

    def cancel(self, context: Context) -> None:
        """Raise MessageCancelled in the handler, unless this delivery has ended. Called by another thread."""
        self._is_cancelling = True
        try:
            if self._context is not context:
                return
            self._asked = context
            if not self._handler.interrupt_from_thread(MessageCancelled(context.id)):
                _raise_in(self._thread, _cancel_of(context.id))
        finally:
            self._is_cancelling = False


def shard_of(context: Context) -> str:
    """The queue, or the shard, that holds the message."""
    return message_of(context).queue


def _cancel_of(message_id: str) -> Type[BaseException]:
    """A class whose instances say which message is cancelled: Python makes the instance in the other thread."""

    def make(self: MessageCancelled) -> None:
        MessageCancelled.__init__(self, message_id)

    def reduce(self: MessageCancelled) -> Any:
        return MessageCancelled, (self.message_id, self.by, self.reason)

    own = {"__init__": make, "__reduce__": reduce, "__module__": MessageCancelled.__module__}
    return type(MessageCancelled.__name__, (MessageCancelled,), own)


class _Dropped(BaseException):
    """Takes the place of an exception that is not raised yet."""


def _drop_pending() -> None:
    """Drop the cancel that is not raised in this thread yet: its handler has returned.

    An exception takes its place and is caught. CPython offers None for this, but up to 3.12 it then takes an exception
    for pending as long as the process lives: all code gets slower, and in 3.11 a debugger or a profiler hangs.
    """
    try:
        _raise_in(threading.get_ident(), _Dropped)
        while True:
            pass
    except _Dropped:
        pass


def _raise_in(thread: int, kind: Type[BaseException]) -> None:
    """Raise an exception of this class in a thread as soon as it runs Python code. It replaces one that is pending."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))
