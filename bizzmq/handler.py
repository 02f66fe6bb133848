"""A user's callable, made uniform: `run` gives the error of an attempt, or None for success."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import AbstractSet, Any, Callable, Sequence

from bizzmq import handler_result, hooks, logs
from bizzmq.context import Context
from bizzmq.errors import ConfigurationError, CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageTimeout
from bizzmq.handler_shape import check, hook_takes_context, takes_context

UserHandler = Callable[..., Any]
_ASYNCIO = str(Path(asyncio.__file__).parent)
_OURS = (__file__, handler_result.__file__)
LIMITS = (CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageTimeout)
"""What is raised in a handler for a limit that is the message's."""


class HandlerImportError(Exception):
    """The handler's module raised while it was imported; `__cause__` says what."""


class Handler:
    """Calls the user's handler, with the context if it takes one, and in an event loop if it is async.

    Attributes:
        is_spent: this process should run no other message: a limit has struck in the midst of whatever it was doing.
        when_spent: called when that becomes so.
    """

    is_spent = False
    when_spent: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, function: UserHandler) -> None:
        check(function)
        self._function = function
        self._takes_context = takes_context(function)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._interrupt: BaseException | None = None
        self._process = os.getpid()
        self._compose()

    def _compose(self) -> None:
        """Put the hooks around a run, if there are any."""
        self._before = [(hook, hook_takes_context(hook)) for hook in hooks.registered.before]
        self._after = [(hook, hook_takes_context(hook)) for hook in hooks.registered.after]
        if self._before or self._after:
            self._run = self._run_with_hooks  # type: ignore[method-assign]

    def boot(self) -> None:
        """Call the hooks of a worker's boot. Raises HandlerImportError."""
        for hook in hooks.registered.boot:
            try:
                self._final(hook())
            except BaseException as error:
                raise HandlerImportError(f"the hook {hooks.name_of(hook)} (on_worker_boot) failed") from error
        self._compose()

    def shut_down(self) -> None:
        """Call the hooks of a worker's shutdown."""
        for hook in reversed(hooks.registered.shutdown):
            try:
                self._final(hook())
            except BaseException as error:  # noqa: BLE001 - the others are called all the same
                hooks.say_failed(hook, "on_worker_shutdown", error)

    def _run_with_hooks(self, body: Any, context: Context) -> BaseException | None:
        try:
            self._call(self._before, "before_message", context)
            failure = Handler._run(self, body, context)
            self._call(self._after, "after_message", context)
        except LIMITS as error:
            return self.failure_of(error)
        return failure

    def _call(self, chosen: Sequence[tuple[Callable[..., Any], bool]], what: str, context: Context) -> None:
        for hook, wants_context in chosen:
            try:
                self._final(hook(context) if wants_context else hook())
            except LIMITS:
                raise
            except BaseException as error:  # noqa: BLE001 - the message's outcome is the handler's
                hooks.say_failed(hook, what, error)

    def run(self, body: Any, context: Context) -> BaseException | None:
        """Handle one message: None for success, else the exception that it raised or returned.

        Whatever is raised is the message's failure, SystemExit and KeyboardInterrupt included: a message
        must not be able to stop its worker. A copy of this process that the handler has forked ends where it
        comes out of the handler: what follows, the ack above all, is the worker's.
        """
        failure = self._run(body, context)
        if os.getpid() != self._process:
            os._exit(_exit_code(failure))
        return failure

    def _run(self, body: Any, context: Context) -> BaseException | None:
        try:
            result = self._function(body, context) if self._takes_context else self._function(body)
            if result is None or result is True:
                return None
            return handler_result.failure_in(self._final(result))
        except BaseException as error:  # noqa: BLE001 - see `run`
            return self.failure_of(error)

    def failure_of(self, error: BaseException) -> BaseException:
        """What the message fails with when its handler has raised this: that, with the user's part of its traceback."""
        return error.with_traceback(from_user(error.__traceback__))

    def _final(self, result: Any) -> Any:
        """What comes of a result that has to be awaited, or waited for."""
        while True:
            if handler_result.is_pending(result):
                result = handler_result.wait_for(result)
            elif inspect.isawaitable(result):
                result = self._await(result)
            else:
                return result

    def interrupt(self, error: BaseException) -> None:
        """From a signal handler in the main thread: raise an error in the user's handler, async or not."""
        if self._task is None or self._loop is None or asyncio.current_task(self._loop) is self._task:
            raise error  # it computes, or blocks its loop
        self._interrupt = error
        self._loop.call_soon_threadsafe(self._task.cancel)

    def close(self) -> None:
        """Close the event loop, if there was one."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _await(self, awaitable: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()

        self._interrupt = None
        kept = asyncio.all_tasks(self._loop)  # of a hook, or of a library that was started by an earlier message
        self._task = self._loop.create_task(handler_result.awaited(awaitable, self._loop, self._take_interrupt))
        try:
            return self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            if self._interrupt is not None:
                raise self._interrupt from None
            raise
        finally:
            self._task = None
            self._cancel_rest(kept)

    def _take_interrupt(self) -> BaseException | None:
        error, self._interrupt = self._interrupt, None
        return error

    def _cancel_rest(self, kept: AbstractSet[asyncio.Task[Any]]) -> None:
        """End what the handler left running, so that nothing of one message leaks into the next."""
        assert self._loop is not None
        rest = asyncio.all_tasks(self._loop) - kept
        for task in rest:
            task.cancel()
        if rest:
            self._loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))


def from_user(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the user's first line on: what led there, through this module, explains nothing."""
    inner = trace
    while inner is not None and _ours(inner.tb_frame.f_code.co_filename):
        inner = inner.tb_next
    return inner or trace


def _ours(file_name: str) -> bool:
    return file_name in _OURS or "importlib" in file_name or file_name.startswith(_ASYNCIO)


def _exit_code(failure: BaseException | None) -> int:
    """The exit code of a process that ends with this; what is no exit is said, as the interpreter does."""
    code = failure.code if isinstance(failure, SystemExit) else failure
    if isinstance(code, BaseException):
        sys.excepthook(type(code), code, code.__traceback__)
    return code & 0xFF if isinstance(code, int) else int(code is not None)


def split_spec(spec: str) -> tuple[str, str]:
    """`package.module:callable` in its two parts. Raises ConfigurationError."""
    module, colon, name = spec.partition(":")
    if module.endswith(".py"):
        meant = module[:-3].replace(os.sep, ".").strip(".")
        raise ConfigurationError(
            f"{spec!r} names a file: drop the .py, and write the module as {meant}:{name or 'handler'}"
        )
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ConfigurationError(f"{spec!r} does not name a handler; write MODULE:CALLABLE, such as tasks:handler")
    return module, name


def _no_such_name(module_name: str, name: str, here: str) -> str:
    """That a module has no such attribute, and which file it is, if another one may have been meant."""
    found = getattr(sys.modules.get(module_name), "__file__", None)
    own = Path(here, *module_name.split(".")).with_suffix(".py")
    text = f"module {module_name!r} has no {name!r}"
    if found is None:
        return f"{text}: it is built into Python; give yours another name" if own.exists() else text
    if own.exists() and not own.samefile(found):
        return f"{text}: it is {found}, and not {own}, which needs another name"
    return f"{text}: it is {found}"


def load(spec: str) -> UserHandler:
    """Import the callable that `module:callable` names. The current directory is importable.

    Raises:
        ConfigurationError: no such module, no such attribute, or nothing that can take a message; one clear line.
        HandlerImportError: the module itself raised; `__cause__` has its traceback.
    """
    module_name, name = split_spec(spec)
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise ConfigurationError(f"there is no module {missing!r} here; is it in {here}?") from None
        raise HandlerImportError(f"importing {module_name!r} failed") from error
    except BaseException as error:
        raise HandlerImportError(f"importing {module_name!r} failed") from error
    logs.enable()  # logging.config disables existing loggers by default
    for part in name.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise ConfigurationError(_no_such_name(module_name, name, here)) from None
    check(target, f"the handler {spec}")
    function: UserHandler = target
    return function
