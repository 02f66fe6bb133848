"""`--pdb`: runs a dead letter here, under Python's debugger. BizzMQ itself changes nothing in Redis."""

from __future__ import annotations

import bdb
import pdb  # noqa: T100 - this module is the debugger's user
import traceback
from types import FrameType, TracebackType
from typing import Any

from bizzmq.broker.replies import as_text
from bizzmq.consumer.handlers import loader as handler_loader
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.handlers.loader import HandlerImportError
from bizzmq.consumer.handlers.task_dispatcher import TaskDispatcher
from bizzmq.context import Context
from bizzmq.dead_letters.edit import StoredLetter
from bizzmq.dead_letters.fingerprint import is_user_file
from bizzmq.errors import ConfigurationError, DecodeError
from bizzmq.message import Message
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.sealing import Sealer, decoder
from bizzmq.utils import clock
from bizzmq.utils.console import CommandError
from bizzmq.utils.standard_streams import show_on_stderr
from bizzmq.worker_state import WorkerState

_CANNOT_IMPORT, _FAILED_AGAIN = 2, 1
_UNTOUCHED = "nothing was changed in Redis"


def debug(letter: StoredLetter, spec: str, redis_url: str, sealer: Sealer | None) -> int:
    """Run a dead letter with a handler. If it fails, the debugger starts in the last frame of the user's code.

    Args:
        spec: `module:callable` or `module:app`.
        redis_url: the server on which the tasks of an app publish.

    Returns:
        The exit code: 0 if it succeeded or the debugger was left, 1 if it failed again.

    Raises:
        ConfigurationError: there is no such handler, the app has no such task, or the message is unreadable.
        CommandError: the handler cannot be imported.
    """
    message = _decoded(letter, sealer)
    handler = _handler(spec, redis_url)
    refusal = handler.refusal_of(message)
    if refusal is not None:
        raise ConfigurationError(f"{spec} cannot run the dead letter {message.id!r}: {refusal}")
    try:
        _import_or_fail(handler.boot)
        failure = _run(handler, message)
        handler.shut_down()
    finally:
        handler.close()
    if failure is None:
        show_on_stderr(f"bizzmq: the handler has succeeded: the dead letter stays, {_UNTOUCHED}")
        return 0
    if isinstance(failure, bdb.BdbQuit):
        show_on_stderr(f"bizzmq: the debugger was left: {_UNTOUCHED}")
        return 0
    show_on_stderr(f"bizzmq: the handler has failed again: {_UNTOUCHED}")
    return _FAILED_AGAIN


def _decoded(letter: StoredLetter, sealer: Sealer | None) -> Message:
    """The message as a worker of its queue would have it. Raises ConfigurationError."""
    name = as_text(letter.id)
    try:
        message = decoder(sealer)(name, letter.queue, letter.envelope)
    except DecodeError as error:
        raise ConfigurationError(f"the dead letter {name!r} cannot be run: {error}") from None
    return message._replace(error=None)


def _handler(spec: str, redis_url: str) -> Handler:
    function = _import_or_fail(lambda: handler_loader.load(spec))
    if isinstance(function, TaskDispatcher):
        function.serve(redis_url, None)
    return Handler(function)


def _import_or_fail(action: Any) -> Any:
    try:
        return action()
    except HandlerImportError as error:
        cause = error.__cause__ or error
        show_on_stderr("".join(traceback.format_exception(type(cause), cause, cause.__traceback__)).rstrip())
        raise CommandError(str(error), _CANNOT_IMPORT) from None


def _run(handler: Handler, message: Message) -> BaseException | None:
    """Run it once. A failure is examined before the hooks of the handler's end close what it uses."""
    context = Context(message, Attempts(), clock.monotonic(), None, WorkerState())
    failure = handler.run(message.body, context)
    if failure is not None and not isinstance(failure, bdb.BdbQuit):
        show_on_stderr("".join(traceback.format_exception(type(failure), failure, failure.__traceback__)).rstrip())
        if failure.__traceback__ is not None:
            _PostMortem().examine(failure.__traceback__)
    return failure


class _PostMortem(pdb.Pdb):
    """The debugger after an error. It begins in the last frame of the user's code, where `down` leads to libraries."""

    def get_stack(self, f: FrameType | None, t: TracebackType | None) -> Any:
        stack, index = super().get_stack(f, t)
        own = [at for at, (frame, _) in enumerate(stack) if is_user_file(frame.f_code.co_filename)]
        return stack, own[-1] if own else index

    def examine(self, trace: TracebackType) -> None:
        """Read the user's commands until the debugger is left."""
        self.reset()
        self.interaction(None, trace)
