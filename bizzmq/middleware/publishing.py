"""The middleware around publishing. It sends nothing: clients call it before and after they do."""

from __future__ import annotations

import dataclasses
import logging
from contextvars import ContextVar
from functools import partial
from typing import Any, Awaitable, Callable, List, Sequence, TypeVar

from bizzmq.message import MessageOptions
from bizzmq.middleware.base import Publication
from bizzmq.middleware.checks import distinct, hook_of
from bizzmq.middleware.registry import registered
from bizzmq.properties import checked_headers
from bizzmq.utils.logs import log
from bizzmq.validation import checks

T = TypeVar("T")
_logger = logging.getLogger("bizzmq.middleware")
_is_in_hook: ContextVar[bool] = ContextVar("bizzmq_is_in_publishing_hook", default=False)


def log_failure(middleware: Any, hook: str, error: BaseException) -> None:
    """Log that a hook of a middleware has raised."""
    name = f"{type(middleware).__module__}.{type(middleware).__qualname__}"
    log(_logger, logging.ERROR, "a middleware has failed", middleware=name, hook=hook, error=error)


class PublishingHooks:
    """The hooks of one publication.

    Args:
        own: the middlewares of the client, after those of the process.
    """

    def __init__(self, own: Sequence[Any], publication: Publication) -> None:
        chosen = [] if _is_in_hook.get() else distinct([*registered, *own])
        self.publication = publication
        self._middlewares = chosen
        self._entered: List[Any] = []

    def around(self, publish: Callable[[Publication, List[str]], T], published: List[str]) -> T:
        """Publish between the hooks.

        Args:
            published: where `publish` adds the ids of messages once they are stored.
        """
        try:
            self.before()
            result = publish(self.publication, published)
        except BaseException as error:
            self.after(published, error)
            raise
        self.after(published, None)
        return result

    async def around_async(self, publish: Callable[[Publication, List[str]], Awaitable[T]], published: List[str]) -> T:
        """As `around`, for asyncio."""
        try:
            self.before()
            result = await publish(self.publication, published)
        except BaseException as error:
            self.after(published, error)
            raise
        self.after(published, None)
        return result

    def before(self) -> None:
        """Call `before_publish` of all. Afterwards the options of the publication are those to publish with."""
        for middleware in self._middlewares:
            hook = hook_of(middleware, "before_publish")
            if hook is None or self._change(middleware, hook):
                self._entered.append(middleware)

    def after(self, message_ids: Sequence[str], error: BaseException | None) -> None:
        """Call `after_publish` of those whose `before_publish` has returned, in reverse order."""
        for middleware in reversed(self._entered):
            hook = hook_of(middleware, "after_publish")
            if hook is not None:
                _call(middleware, "after_publish", partial(hook, self.publication, tuple(message_ids), error))

    def _change(self, middleware: Any, hook: Callable[[Publication], Any]) -> bool:
        publication = self.publication
        options, headers = publication.options, dict(publication.headers)

        def change() -> None:
            hook(publication)
            chosen = checks.instance("options", publication.options, MessageOptions, options)
            changed = publication.headers
            if chosen is not options and changed == headers:
                changed = dict(chosen.headers)  # the hook has set them among the options
            publication.headers = dict(checked_headers(changed))
            publication.options = dataclasses.replace(chosen, headers=publication.headers)

        if _call(middleware, "before_publish", change):
            return True
        publication.options, publication.headers = options, headers
        return False


def _call(middleware: Any, hook: str, call: Callable[[], Any]) -> bool:
    """Whether a hook has returned. An exception is logged; an interrupt of the program is raised."""
    token = _is_in_hook.set(True)
    try:
        call()
    except Exception as error:  # noqa: BLE001 - a middleware must not lose a message
        log_failure(middleware, hook, error)
        return False
    finally:
        _is_in_hook.reset(token)
    return True
