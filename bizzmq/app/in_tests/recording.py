"""Clients that stand in for an app's own while a test records what the app publishes."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterable, List, NamedTuple, NoReturn, Sequence, TypeVar

from bizzmq.admin.arguments import checked_name
from bizzmq.app.options import DEFAULTS
from bizzmq.app.published import PublishedMessage
from bizzmq.broker.broker import Broker
from bizzmq.client import BizzMQ
from bizzmq.errors import BizzMQError
from bizzmq.message import MessageOptions
from bizzmq.middleware.base import Publication
from bizzmq.middleware.checks import all_checked
from bizzmq.middleware.publishing import PublishingHooks
from bizzmq.protocol import ids
from bizzmq.protocol.envelope import decode_body, encode_body, encode_header
from bizzmq.protocol.keys import QueueKeys
from bizzmq.queue import QueueOptions
from bizzmq.results.awaited import Resolution
from bizzmq.validation import checks

T = TypeVar("T")


class Encoded(NamedTuple):
    """A message as it would be stored in Redis."""

    id: str
    queue: str
    envelope: bytes


class WatchingClient(BizzMQ):
    """A client that also notes what it has published.

    Attributes:
        published: what was published, in that order.
    """

    def __init__(self, redis_url: str, published: List[PublishedMessage], **options: Any) -> None:
        self.published = published
        super().__init__(redis_url, **options)

    def _publish(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None, task: str = "", version: int = 1
    ) -> List[str]:
        bodies = list(messages)
        published = super()._publish(queue_name, bodies, options, task, version)
        wanted = options or DEFAULTS
        for body, message_id in zip(bodies, published):
            self.published.append(PublishedMessage(task, body, queue_name, wanted, message_id))
        return published


class RecordingClient(BizzMQ):
    """A client without a server. It encodes and checks what is published, and keeps it here.

    Attributes:
        published: what was published, in that order.
    """

    what = "app.recording()"

    def __init__(self, published: List[PublishedMessage], middleware: Sequence[Any] = ()) -> None:
        self.published = published
        self._middlewares = all_checked(middleware)
        self._ids = ids.MessageIds(ids.nonce())

    def __repr__(self) -> str:
        return f"<the client of {self.what}>"

    def __enter__(self) -> RecordingClient:
        return self

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def create_queue(self, queue_name: str, options: QueueOptions | None = None) -> bool:
        QueueKeys(checked_name(queue_name))
        checks.instance("options", options, QueueOptions, QueueOptions())
        return True

    def _publish(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None, task: str = "", version: int = 1
    ) -> List[str]:
        return [one.id for one in self._recorded(queue_name, messages, options, task, version)]

    def _recorded(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None, task: str, version: int
    ) -> Sequence[Encoded]:
        """The messages as they would be stored, after the middleware. All are encoded before one is recorded."""
        wanted = DEFAULTS if options is None else checks.instance("options", options, MessageOptions, DEFAULTS)
        queue = QueueKeys(checked_name(queue_name)).queue
        publication = Publication(queue, messages, wanted, task, version)
        return PublishingHooks(self._middlewares, publication).around(self._encoded, [])

    def _encoded(self, publication: Publication, ids_of_stored: List[str]) -> Sequence[Encoded]:
        task, queue, options = publication.task, publication.queue, publication.options
        header = encode_header(options, task, publication.version)
        bodies = [encode_body(body) for body in publication.bodies]
        taken = self._ids.take(time.time_ns() // 1000, len(bodies))
        self.published += [
            PublishedMessage(task, decode_body(body), queue, options, one) for one, body in zip(taken, bodies)
        ]
        ids_of_stored += taken
        return [Encoded(one, queue, header + body) for one, body in zip(taken, bodies)]

    def _execute(self, action: Callable[[Broker], T]) -> T:  # noqa: ARG002 - there is no broker
        self._refuse()

    def _local_resolution(self, message_id: str) -> Resolution | None:  # noqa: ARG002 - nothing runs here
        self._refuse()

    def _start_consuming(self, *_: Any) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise BizzMQError(
            f"inside {self.what} the app has no server: test this with a real one, by app.testing(URL) or the pytest "
            "fixture bizzmq_app"
        )
