"""The methods of a client that publish."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping, Sequence

from bizzmq.admin.arguments import checked_name
from bizzmq.message import MessageOptions
from bizzmq.middleware.base import Publication
from bizzmq.middleware.publishing import PublishingHooks
from bizzmq.middleware.registry import registered
from bizzmq.publisher.checked import PublishedIds
from bizzmq.publisher.publisher import Publisher
from bizzmq.publisher.requests import set_published_ids
from bizzmq.validation import checks

_DEFAULTS = MessageOptions()


class PublishingClient:
    """What a client publishes, with the hooks of its middleware around it."""

    _middlewares: Sequence[Any]
    _with_publisher: Callable[[Callable[[Publisher], list[str]]], list[str]]

    def publish_message_to_queue(self, queue_name: str, message: Any, options: MessageOptions | None = None) -> str:
        """Publish one message: any JSON value of at most 1 MiB.

        Returns:
            The message's id, once Redis has stored the message.

        Raises:
            QueueNotFoundError: the queue does not exist.
            ConfigurationError: the name or the options are invalid.
            ClosedError: the client is closed.
            EncodeError: the message is not JSON, or is nested more than 200 levels deep.
            PayloadTooLargeError: the message is larger than 1 MiB as JSON.
            NotConfirmedError: the message is stored, but not confirmed as `options.confirm` requires.
            BrokerFullError: Redis has reached its memory limit.
            BrokerUnavailableError: Redis was unavailable for 10 s; the message may have been published.
        """
        return self._publish(queue_name, [message], options)[0]

    def publish_messages_to_queue(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None = None
    ) -> list[str]:
        """Publish several messages with the same options.

        All messages are encoded before the first one is sent. If one is not JSON or is too large, or if `messages`
        raises while it is read, none is published.

        Returns:
            The ids, in the order of the messages.

        Raises:
            The errors of `publish_message_to_queue`; their `published_ids` are the ids of the messages that were
            published before the error.
        """
        if isinstance(messages, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(messages, Iterable):
            checks.refuse("messages", "a list or another iterable of messages", messages)
        return self._publish(queue_name, messages, options)

    def _publish(
        self, queue_name: str, messages: Iterable[Any], options: MessageOptions | None, task: str = "", version: int = 1
    ) -> list[str]:
        wanted = _DEFAULTS if options is None else checks.instance("options", options, MessageOptions, _DEFAULTS)
        if type(queue_name) is not str:
            queue_name = checked_name(queue_name)
        published: list[str] = PublishedIds() if wanted.unique_key else []
        try:
            if registered or self._middlewares:
                publication = Publication(queue_name, messages, wanted, task, version)
                return PublishingHooks(self._middlewares, publication).around(self._send, published)
            return self._with_publisher(
                lambda publisher: publisher.publish(queue_name, messages, wanted, published, task, version)
            )
        except BaseException as error:
            set_published_ids(error, published)
            raise

    def _send(self, one: Publication, published: list[str]) -> list[str]:
        return self._with_publisher(
            lambda publisher: publisher.publish(one.queue, one.bodies, one.options, published, one.task, one.version)
        )
