"""The numbered requests of one publisher: what they contain. Sending them is the business of its subclasses."""

from __future__ import annotations

import random
from typing import Any, Sequence

from bizzmq.broker.checked_publish import CheckedRequest, Seal, Standing
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.retry import Outage
from bizzmq.errors import BrokerReplyError, EncodeError, QueueNotFoundError
from bizzmq.protocol import ids
from bizzmq.protocol.envelope import encode_body
from bizzmq.protocol.sealing import Sealer
from bizzmq.publisher import confirms
from bizzmq.publisher.checked import DropLog, Part, PublishedIds
from bizzmq.publisher.conversion import Encode, converted
from bizzmq.publisher.pipeline import BATCH_MESSAGES, SHARD_BATCH_MESSAGES, Request, batches
from bizzmq.utils import clock


class RequestMaker:
    """Encodes and seals messages, gives them their ids, and numbers the requests that publish them.

    Args:
        server_clock: shared by all publishers of a client, so that their ids have a common order.
        limit_bytes: the largest size of a body as JSON.
        sealer: compresses, encrypts and signs the messages; None publishes them as they are.
        encode: converts values that JSON cannot express; None refuses them.
    """

    def __init__(
        self, server_clock: clock.ServerClock, *, limit_bytes: int, sealer: Sealer | None, encode: Encode | None
    ) -> None:
        self._encode = encode
        self._clock = server_clock
        self._limit_bytes = limit_bytes
        self._sealer = sealer
        self._confirmable: set[confirms.ConfirmLevel] = set()
        self._shards: dict[str, Sequence[str]] = {}
        self._turn = random.randrange(1 << 16)
        self._limited: set[str] = set()  # queues of limited length
        self._drops = DropLog()
        self.forget()

    def forget(self) -> None:
        """Become another publisher: in a forked child, or because the number in Redis may be forged."""
        self._nonce = ids.nonce()
        self._number = 0  # after the nonce, so that no number is used twice with the same one
        self._ids = ids.MessageIds(self._nonce)

    def _encoded(self, body: Any, encode: Encode) -> bytes:
        """The body as JSON; `encode` is used only if the body is not plain JSON."""
        try:
            return encode_body(body, self._limit_bytes)
        except EncodeError:
            return encode_body(converted(body, encode), self._limit_bytes)

    def _request(self, queue: str, envelopes: Sequence[bytes]) -> Request:
        """The next request. It gives its messages their ids."""
        message_ids = self._ids.take(self._clock.micros(), len(envelopes))
        if self._sealer is not None:
            seal = self._sealer.seal
            envelopes = [seal(message_id, queue, envelope) for message_id, envelope in zip(message_ids, envelopes)]
        self._number += 1
        return Request(self._number, message_ids, envelopes)

    def _checked_request(self, part: Part) -> CheckedRequest:
        """The next request of messages that are unique or expire. It is sealed when it is sent."""
        message_ids = self._ids.take(self._clock.micros(), len(part.envelopes))
        self._number += 1
        return CheckedRequest(self._number, message_ids, part.unique_keys, part.envelopes)

    def _seal(self, queue: str) -> Seal:
        """Seals an envelope for a message of this queue; None if messages are not sealed."""
        sealer = self._sealer
        return None if sealer is None else lambda message_id, envelope: sealer.seal(message_id, queue, envelope)

    def _note_standing(
        self, queue: str, part: Part, own: CheckedRequest, standing: Standing, published: list[str]
    ) -> None:
        """Add the ids that stand for the messages of a request to the published ones, and log what was dropped."""
        if isinstance(published, PublishedIds) and standing.message_ids is not own.message_ids:
            pairs = zip(own.message_ids, standing.message_ids)
            published.duplicates.update(part.first + at for at, (one, other) in enumerate(pairs) if one != other)
        published += standing.message_ids
        if standing.dropped:
            self._drops.note(queue, standing.dropped)

    def _next_shard(self, shards: Sequence[str]) -> str:
        """The next shard in turn."""
        self._turn += 1
        return shards[self._turn % len(shards)]

    def _note_confirmable(self, level: confirms.ConfirmLevel) -> None:
        self._confirmable |= set() if level.disk else {level}  # an append-only file can be switched off

    def _note_failure(self, queue: str, error: BaseException, published: list[str]) -> None:
        """Forget what a failed publish has shown to be wrong, and tell the caller what is stored nevertheless."""
        if isinstance(error, QueueNotFoundError):
            self._shards.pop(queue, None)  # the queue may be created again with another number of shards
        if isinstance(error, BrokerReplyError):
            self.forget()
        set_published_ids(error, published)


def parts_of(envelopes: Sequence[bytes], shards: Sequence[str]) -> list[Sequence[bytes]]:
    """The envelopes of each request."""
    return list(batches(envelopes, BATCH_MESSAGES if len(shards) == 1 else SHARD_BATCH_MESSAGES))


class Patience:
    """How long a publish that fails is repeated.

    Args:
        retry_for_s: how long, seconds.
    """

    def __init__(self, outage: Outage, retry_for_s: float) -> None:
        self._outage = outage
        self._give_up_s = clock.monotonic() + retry_for_s

    def wait_s(self, error: Exception) -> float:
        """How long to wait after a failed try, seconds. Raises the error if no further try is of use."""
        if isinstance(error, CommandRefusedError):
            raise error  # waiting does not cure that
        wait_s = self._outage.failed(error)
        if clock.monotonic() + wait_s > self._give_up_s:
            raise error
        return wait_s


def set_published_ids(error: BaseException, published: list[str]) -> None:
    """Set `published_ids` of any exception that leaves a publish: the messages that are stored nevertheless."""
    vars(error)["published_ids"] = published  # a class of the user may not accept new attributes
