"""Middlewares that write down what they are called with."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Sequence, Tuple

from bizzmq import Context, Middleware, Publication, WorkerCrash

Events = List[Tuple[Any, ...]]


class Recorder(Middleware):
    """Adds (name, hook, facts...) to a list, then does what `act(hook)` does."""

    def __init__(self, name: str, events: Events, act: Callable[[str], Any] = lambda _: None) -> None:
        self.name, self.events, self.act = name, events, act

    def _note(self, hook: str, *facts: Any) -> Any:
        self.events.append((self.name, hook, *facts))
        return self.act(hook)

    def before_publish(self, publication: Publication) -> None:
        self._note("before_publish", publication.queue, publication.bodies)

    def after_publish(self, publication: Publication, message_ids: Sequence[str], error: BaseException | None) -> None:
        self._note("after_publish", tuple(message_ids), error)

    def before_handler(self, context: Context) -> None:
        self._note("before_handler", context.body)

    def after_handler(self, context: Context, result: Any, error: BaseException | None) -> None:
        self._note("after_handler", result, error)

    def on_retry(self, context: Context, error: BaseException, delay_s: float) -> None:
        self._note("on_retry", error, delay_s)

    def on_dead_letter(self, context: Context, error: BaseException, record: Mapping[str, Any] | None) -> None:
        self._note("on_dead_letter", error, record)

    def on_release(self, context: Context, error: BaseException, delay_s: float) -> None:
        self._note("on_release", error, delay_s)

    def on_worker_boot(self) -> None:
        self._note("on_worker_boot")

    def on_worker_shutdown(self) -> None:
        self._note("on_worker_shutdown")

    def on_worker_crash(self, crash: WorkerCrash) -> None:
        self._note("on_worker_crash", crash)


def raiser(hook: str, error: BaseException) -> Callable[[str], None]:
    """An act that raises an error in one hook."""

    def act(called: str) -> None:
        if called == hook:
            raise error

    return act


def steps(events: Events) -> List[Tuple[Any, ...]]:
    """Which middleware's hook was called, in order."""
    return [event[:2] for event in events]
