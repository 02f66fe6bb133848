"""The handle of a published message of a task: what can be asked about it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Callable, Generic, List, NoReturn, Optional, Protocol, Sequence, TypeVar

from bizzmq.admin.explain.explanation import Explanation
from bizzmq.admin.message_status import MessageStatus
from bizzmq.client import BizzMQ
from bizzmq.protocol.history import MessageHistory
from bizzmq.publisher.checked import PublishedIds
from bizzmq.results.awaited import Awaited, Resolution, value_of
from bizzmq.results.reader import ResultReaders
from bizzmq.results.result_client import checked_timeout, ending_of, local_resolution, result_readers

if TYPE_CHECKING:
    from bizzmq.aio.client import AsyncBizzMQ
    from bizzmq.aio.results import AsyncResultReaders

R = TypeVar("R")


class Clients(Protocol):
    """Where a handle asks: an app, whose clients connect when they are first used."""

    @property
    def client(self) -> BizzMQ: ...

    @property
    def aclient(self) -> Optional[AsyncBizzMQ]: ...


class StandIn:
    """The client that stands in for Redis in a test. It knows everything at once, so it needs no twin for asyncio."""

    aclient = None

    def __init__(self, client: BizzMQ) -> None:
        self.client = client


class Handle(Generic[R]):
    """A published message of a task.

    A handle is not stored: keep its `id`, and make it again by `task.handle(id)`, also in another process.

    Attributes:
        id: the id of the message.
        queue: the name of its queue.
        task: the name of its task; "" if that is not known.
        duplicate: whether publishing found another message with the same unique key: this is the handle of that one.
    """

    __slots__ = ("_clients", "_decode", "_keeps_result", "_resolution", "duplicate", "id", "queue", "task")

    def __init__(
        self,
        clients: Clients,
        message_id: str,
        queue: str,
        task: str,
        decode: Callable[[Any], Any],
        *,
        keeps_result: bool | None,
        duplicate: bool = False,
    ) -> None:
        self._clients, self._decode, self._keeps_result = clients, decode, keeps_result
        self._resolution: Resolution | None = None
        self.id, self.queue, self.task, self.duplicate = message_id, queue, task, duplicate

    def __repr__(self) -> str:
        return f"Handle({self.id!r}, task={self.task!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a handle belongs to an app, so it cannot be pickled: keep its id, and use task.handle(id)")

    def result(self, timeout_s: float | timedelta | None = None) -> R:
        """What the task has returned. Waits until the message has ended, also while Redis is unavailable.

        Args:
            timeout_s: how long to wait, seconds or a timedelta; None for no limit.

        Raises:
            HandlerFailedError: the message has failed for good: it is dead-lettered, or discarded.
            MessageCancelled: the message was cancelled.
            MessageExpired: it was not started within its `expires_s`.
            ResultNotKept: the task has no `result_ttl_s`. Raised at once.
            ResultExpired: the message has ended or was deleted, and no result is kept.
            TimeoutError: the message has not ended in time.
            ConfigurationError: `timeout_s` is invalid.
            DecodeError, WrongTypeError: what is stored as the result is not BizzMQ's, or does not fit the annotation.
            ConnectionLimitError: 100 other threads wait for results.
            BrokerUnavailableError: Redis is unavailable when the wait begins, or refuses it for good.
            ClosedError: the client is closed.
        """
        limit_s = checked_timeout(timeout_s)
        if self.known() is None:
            readers = self.readers()
            self._resolution = ending_of(readers, self.awaited(readers), limit_s)
        return self._value()

    async def aresult(self, timeout_s: float | timedelta | None = None) -> R:
        """As `result`, for asyncio. Another task may cancel it at any moment."""
        limit_s = checked_timeout(timeout_s)
        aclient = self._clients.aclient
        if aclient is None:
            self.known()
        elif self._resolution is None:
            awaits = aclient._ending_of  # noqa: SLF001 - private to users, not to a handle
            self._resolution = await awaits(self.queue, self.id, limit_s, keeps_result=self._keeps_result)
        return self._value()

    def _value(self) -> R:
        assert self._resolution is not None
        result: R = self._decode(value_of(self.id, self._resolution))
        return result

    def status(self) -> MessageStatus:
        """Where the message is, or what has become of it if its result is kept.

        Raises:
            QueueNotFoundError, DecodeError, WrongTypeError, BrokerUnavailableError, ClosedError
        """
        return self._clients.client.status(self.queue, self.id)

    async def astatus(self) -> MessageStatus:
        """As `status`, for asyncio."""
        aclient = self._clients.aclient
        return self.status() if aclient is None else await aclient.status(self.queue, self.id)

    def cancel(self, *, by: str = "", reason: str = "") -> bool:
        """Cancel the message: it ends at once, or, if it is running, within a second and its pool's grace period.

        See `BizzMQ.cancel`.

        Args:
            by: who cancels it; the default is the user and the host of this process.
            reason: why, for those who wait for its result.

        Returns:
            False if there is no such message: it has ended, or never was.

        Raises:
            ConfigurationError, QueueNotFoundError, DecodeError, WrongTypeError, BrokerUnavailableError, ClosedError
        """
        return self._clients.client.cancel(self.id, self.queue, by=by, reason=reason)

    async def acancel(self, *, by: str = "", reason: str = "") -> bool:
        """As `cancel`, for asyncio."""
        aclient = self._clients.aclient
        if aclient is None:
            return self.cancel(by=by, reason=reason)
        return await aclient.cancel(self.id, self.queue, by=by, reason=reason)

    def explain(self) -> Explanation:
        """Why the message is where it is, or what has become of it: one sentence, and the facts behind it.

        Raises:
            DecodeError, WrongTypeError, BrokerUnavailableError, ClosedError
        """
        return self._clients.client.explain(self.id, self.queue)

    async def aexplain(self) -> Explanation:
        """As `explain`, for asyncio."""
        aclient = self._clients.aclient
        return self.explain() if aclient is None else await aclient.explain(self.id, self.queue)

    def history(self) -> MessageHistory:
        """What has happened to the message, oldest first. See `BizzMQ.history`.

        Raises:
            DecodeError, WrongTypeError, BrokerUnavailableError, ClosedError
        """
        return self._clients.client.history(self.id, self.queue)

    async def ahistory(self) -> MessageHistory:
        """As `history`, for asyncio."""
        aclient = self._clients.aclient
        return self.history() if aclient is None else await aclient.history(self.id, self.queue)

    def output(self) -> str:
        """What the message has written, as far as it is kept. See `BizzMQ.output`.

        Raises:
            DecodeError, WrongTypeError, BrokerUnavailableError, ClosedError
        """
        return self._clients.client.output(self.id, self.queue)

    async def aoutput(self) -> str:
        """As `output`, for asyncio."""
        aclient = self._clients.aclient
        return self.output() if aclient is None else await aclient.output(self.id, self.queue)

    def known(self) -> Resolution | None:
        """What has become of the message, if that is known without a request. For code of BizzMQ."""
        if self._resolution is None:
            self._resolution = local_resolution(self._clients.client, self.id)
        return self._resolution

    def readers(self) -> ResultReaders:
        """The connections that wait for its result. For code of BizzMQ."""
        readers = result_readers(self._clients.client)
        readers.require_open()
        return readers

    def awaited(self, readers: ResultReaders) -> Awaited:
        """The wait for this message. For code of BizzMQ."""
        shards = [self.queue] if self._keeps_result is False else readers.shards_of(self.queue)
        awaited = Awaited(self.id, shards, keeps_result=self._keeps_result)
        awaited.resolution = self._resolution or awaited.resolution
        return awaited

    async def awaited_in_loop(self) -> tuple[AsyncResultReaders, Awaited] | None:
        """The wait for this message in asyncio; None if its end is known. For code of BizzMQ."""
        aclient = self._clients.aclient
        if aclient is None:
            self.known()
        if aclient is None or self._resolution is not None:
            return None
        awaited = await aclient._awaited(self.queue, self.id, keeps_result=self._keeps_result)  # noqa: SLF001 - as above
        return aclient._result_readers, awaited  # noqa: SLF001 - as above

    def note(self, resolution: Resolution | None) -> None:
        """Note what has become of the message, so that `result` needs no request. For code of BizzMQ."""
        self._resolution = resolution


def handles_of(
    clients: Clients, ids: Sequence[str], queue: str, task: str, decode: Callable[[Any], Any], keeps_result: bool
) -> List[Handle[Any]]:
    """The handles of messages that were just published, or of the earlier messages that stand for them."""
    if type(ids) is not PublishedIds:
        return [Handle(clients, one, queue, task, decode, keeps_result=keeps_result) for one in ids]
    others = ids.duplicates  # earlier messages, which may keep their results or not
    return [
        Handle(clients, one, queue, task, decode, keeps_result=None if index in others else keeps_result,
               duplicate=index in others)
        for index, one in enumerate(ids)
    ]  # fmt: skip
