"""Middleware: its hooks, and what they receive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, Iterable, Mapping, Sequence

from bizzmq.message import MessageOptions

if TYPE_CHECKING:
    from bizzmq.context import Context


class Publication:
    """One call that publishes: one message, or several with the same options.

    Attributes:
        queue: the name of the queue.
        task: the name of the messages' task; "" for plain messages.
        version: the version of the task's arguments.
        bodies: the bodies of the messages.
        options: their options. `before_publish` may replace them, by `dataclasses.replace` for example.
        headers: their headers, from `options.headers`. `before_publish` may change them.
    """

    __slots__ = ("bodies", "headers", "options", "queue", "task", "version")
    queue: str
    task: str
    version: int
    bodies: Sequence[Any]
    options: MessageOptions
    headers: Dict[str, str]

    def __init__(self, queue: str, bodies: Iterable[Any], options: MessageOptions, task: str, version: int) -> None:
        fixed = {"queue": queue, "bodies": tuple(bodies), "task": task, "version": version}
        for name, value in fixed.items():
            object.__setattr__(self, name, value)
        self.options, self.headers = options, dict(options.headers)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("options", "headers"):
            raise AttributeError(
                f"a middleware can change the options and the headers of a publication, not its {name}"
            )
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Publication(queue={self.queue!r}, task={self.task!r}, {len(self.bodies)} messages)"


@dataclass(frozen=True)
class WorkerCrash:
    """The end of a worker that did not leave in order.

    Attributes:
        reason: how it ended, as the end of a sentence, such as "was killed by SIGSEGV".
        worker: the id of the worker.
        slot: the number of its slot.
        pid: its process.
        host: its host.
        died_at_s: when it died, seconds since the epoch.
        message_id: the message that it was running, or "".
        queue: the queue of that message.
        task: the task of that message, if its envelope could still be read.
        headers: the headers of that message, likewise.
        delivery: the number of that delivery, modulo 65536; 0 if it ran no message.
        ran_s: how long the message had run, seconds.
        error_type: the name of the error if a limit has ended it, such as "MessageTimeout", else "WorkerCrashed".
        signal: the name of the signal that ended it, or "".
        exit_code: its exit code, or None.
        oom_killed: whether the kernel has killed it for want of memory; None if that is unknown.
        peak_memory_bytes: the most memory that it has used.
        cpu_s: the CPU time that it has used, seconds.
        stack: its last Python stack, or "".
        earlier: how many earlier deaths are left out, because too many came before a worker could start.
    """

    reason: str
    worker: str
    slot: int
    pid: int
    host: str
    died_at_s: float
    message_id: str = ""
    queue: str = ""
    task: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery: int = 0
    ran_s: float = 0.0
    error_type: str = "WorkerCrashed"
    signal: str = ""
    exit_code: int | None = None
    oom_killed: bool | None = None
    peak_memory_bytes: int = 0
    cpu_s: float = 0.0
    stack: str = ""
    earlier: int = 0


class Middleware:
    """Code around publishing, around each message, and in the life of a worker.

    Override some of these methods; each does nothing by default. An object of any other class with some of them works,
    too. Several middlewares are called in the order of their declaration before something, and in reverse order after
    it. An exception in a hook is logged with the name of the middleware and has no other effect, except where a hook
    says so.

    The hooks of a message run in a copy of the worker's `contextvars` context, together with the handler: a variable
    that `before_handler` sets is seen by the handler and by the later hooks, and by no other message. Consumers in
    several threads share a middleware. Hooks may be async, those of publishing excepted; an async hook runs in a task,
    so that the variables that it sets end with it.
    """

    def before_publish(self, publication: Publication) -> None:
        """Called before messages are published. It may change the headers and the options.

        A change that makes them invalid is undone and logged. Messages that are published in a hook go past all
        middleware.
        """

    def after_publish(self, publication: Publication, message_ids: Sequence[str], error: BaseException | None) -> None:
        """Called after a call that publishes, in reverse order.

        Args:
            message_ids: the ids of the messages that are stored.
            error: what the call raises, or None.
        """

    def before_handler(self, context: Context) -> None:
        """Called before the handler of each message. Its time counts towards the message's limits.

        It may raise `Reject` or `RetryLater`: the handler is not called, and the message has failed with that error.
        """

    def after_handler(self, context: Context, result: Any, error: BaseException | None) -> None:
        """Called after the handler, in reverse order, if this middleware's `before_handler` has returned.

        Its time counts towards the message's limits. What has become of the message is not sent to Redis yet. A crash
        of the worker calls no hook but `on_worker_crash`.

        Args:
            result: what the handler has returned; None if it has failed.
            error: why the message has failed, or None. If it has, one of `on_retry`, `on_dead_letter` and `on_release`
                follows.
        """

    def on_retry(self, context: Context, error: BaseException, delay_s: float) -> None:
        """Called when a failed message will be retried, before the outcome is sent to Redis.

        This hook and the two below are called even if another middleware has refused the message before this one.

        Args:
            delay_s: how long it waits, seconds.
        """

    def on_dead_letter(self, context: Context, error: BaseException, record: Mapping[str, Any] | None) -> None:
        """Called when a failed message will not be retried, before the outcome is sent to Redis.

        Args:
            record: what is kept with the message, as `Context.error`; None if its queue has no dead-letter queue, so
                that it is discarded.
        """

    def on_release(self, context: Context, error: BaseException, delay_s: float) -> None:
        """Called when a message goes back without blame, or ends as cancelled, before the outcome is sent to Redis.

        Args:
            error: `Draining`; `MessageCancelled` for a message that ends; or `UnknownTaskError` for a task that this
                worker does not know, which it has not run: neither `before_handler` nor `after_handler` was called.
            delay_s: how long it waits, seconds.
        """

    def on_worker_boot(self) -> None:
        """Called in each worker of a pool after the fork, before the boot hooks."""

    def on_worker_shutdown(self) -> None:
        """Called in each worker of a pool before an orderly exit, after the shutdown hooks, in reverse order.

        It has the rest of the drain's time. See `bizzmq.on_worker_shutdown`.
        """

    def on_worker_crash(self, crash: WorkerCrash) -> None:
        """Called for a worker that has died, in the pool's next worker, before that claims its first message.

        Each crash is reported once. The crashes after which a pool starts no other worker are in its log only.
        """
