"""The kinds of tasks, whose calls differ: with or without the Context, sync or async."""

from __future__ import annotations

from typing import TYPE_CHECKING, Awaitable

from bizzmq.app.task import P, R, Task

if TYPE_CHECKING:
    from bizzmq.context import Context


class ContextTask(Task[P, R]):
    """A task whose function takes the Context of the delivery first."""

    if TYPE_CHECKING:

        def __call__(self, context: Context, /, *args: P.args, **kwargs: P.kwargs) -> R: ...


class PlainTask(Task[P, R]):
    """A task whose function takes its arguments only."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


class AsyncTask(Task[P, R]):
    """A task whose function is async."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]: ...


class AsyncContextTask(Task[P, R]):
    """A task whose function is async and takes the Context of the delivery first."""

    if TYPE_CHECKING:

        def __call__(self, context: Context, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]: ...
