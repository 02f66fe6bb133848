"""Edits a dead letter before it is replayed. The edited message has the same id and replaces the dead letter."""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple

from bizzmq.admin.purge import check_exists
from bizzmq.broker.message_calls import replay_call, replay_result
from bizzmq.broker.operations import Operation, Script, command
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import as_text
from bizzmq.dead_letters.letters import header_of, version_of
from bizzmq.errors import ConfigurationError, DecodeError, EncodeError
from bizzmq.message import Message
from bizzmq.properties import MessageProperties
from bizzmq.protocol import ids, json_codec
from bizzmq.protocol.envelope import SealedBody, decode_body, decode_envelope, encode_body
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.sealing import Sealer, decoder
from bizzmq.validation import checks

EDITABLE = ("priority", "retries", "timeout_s", *MessageProperties._fields)
"""The options that an edit can change. What else is stored with a message stays."""
_SIGNATURE, _ENCODING = "sig", "encoding"


class Unchanged:
    """The default of `body`, for which None is a value."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED = Unchanged()


class Edit(NamedTuple):
    """What to change: the body, and options by name; None removes an option."""

    body: Any = UNCHANGED
    options: Mapping[str, Any] = {}


class StoredLetter(NamedTuple):
    """A dead letter as it is stored: the keys of the shard of its dead-letter queue, its id, and its envelope."""

    k: QueueKeys
    id: bytes
    envelope: bytes

    @property
    def queue(self) -> str:
        """The queue, or its shard, to which it is replayed."""
        return self.k.owner


class EditedLetter(NamedTuple):
    """The call that replaces a dead letter by an edited message."""

    letter: StoredLetter
    envelope: bytes
    priority: int


def checked_edit(body: Any, options: Any) -> Edit | None:
    """An edit from arguments of a user; None if they change nothing. Raises ConfigurationError."""
    if body is UNCHANGED and options is None:
        return None
    if options is not None and not isinstance(options, Mapping):
        checks.refuse("options", "a mapping of the options to change", options)
    wanted = dict(options or {})
    for name in wanted:
        if name not in EDITABLE:
            raise ConfigurationError(f"there is no option {checks.shown(name)}: use {', '.join(EDITABLE)}")
    return Edit(body, wanted)


def read_stored_letter(k: QueueKeys, message_id: bytes) -> Operation[StoredLetter | None]:
    """The dead letter with this id in any shard of the dead-letter queue of `k`; None without one.

    Raises:
        QueueNotFoundError: there is no such dead-letter queue.
    """
    dead = k.dead_letters()
    yield from check_exists(dead)
    for shard in (yield from read_shards(dead)):
        envelope = yield command("HGET", shard.messages, message_id)
        if envelope is not None:
            return StoredLetter(shard, message_id, envelope)
    return None


def editable_options(letter: StoredLetter) -> dict[str, Any]:
    """The stored options that an edit can change. Raises ConfigurationError if they are unreadable."""
    return {name: value for name, value in _options(letter).items() if name in EDITABLE}


def edited(
    letter: StoredLetter, edit: Edit, sealer: Sealer | None, encode: Callable[[Any], bytes] = encode_body
) -> EditedLetter:
    """The edited message, compressed, encrypted and signed as the sealer does it.

    Args:
        encode: makes JSON of a body.

    Raises:
        ConfigurationError: an option is invalid, the dead letter is unreadable, or its keys are missing.
        SignatureError: the sealer signs, and has not signed the dead letter, which an edit would vouch for.
        EncodeError, PayloadTooLargeError: the body is invalid.
    """
    options = _options(letter)
    is_signed = options.pop(_SIGNATURE, None) is not None
    stored_body = body_of(letter, sealer)
    options.pop(_ENCODING, None)
    message_id = as_text(letter.id)
    if sealer is not None and sealer.signs:
        sealer.decode(message_id, letter.queue, letter.envelope)
    elif is_signed:
        raise ConfigurationError(
            f"the dead letter {message_id!r} is signed: an edited one needs a signing key (see BIZZMQ_SIGNING_KEYS)"
        )
    for name, value in edit.options.items():
        if value is None:
            options.pop(name, None)
        else:
            options[name] = value
    body = stored_body if edit.body is UNCHANGED else encode(edit.body)
    header = b"1\t" + json_codec.dumps(options) if options else b"1"
    envelope = header + b"\n" + body
    priority = _checked(message_id, letter.queue, envelope).priority
    if sealer is not None:
        envelope = sealer.seal(message_id, letter.queue, envelope)
    return EditedLetter(letter, envelope, priority)


def body_of(letter: StoredLetter, sealer: Sealer | None) -> bytes:
    """The body as JSON, opened if it is compressed or encrypted. Raises ConfigurationError: it cannot be opened."""
    if _ENCODING not in _options(letter):
        return letter.envelope.partition(b"\n")[2]
    name = as_text(letter.id)
    try:
        body = decoder(sealer)(name, letter.queue, letter.envelope).body
    except DecodeError as error:
        raise ConfigurationError(f"the dead letter {name!r} cannot be edited: {error}") from None
    if type(body) is SealedBody:
        raise ConfigurationError(
            f"the dead letter {name!r} is encrypted with key {body.key_id!r}: "
            "an edited one needs this key (see BIZZMQ_ENCRYPTION_KEYS)"
        )
    return encode_body(body)


def replay_edited(one: EditedLetter) -> Operation[bool]:
    """Replace a dead letter by the edited message, which is waiting then.

    Returns:
        False if the dead letter is not there, if a worker holds it, or if it has failed again since it was read.

    Raises:
        QueueNotFoundError: the original queue does not exist.
    """
    letter = one.letter
    own = QueueKeys(letter.queue)
    version = version_of(header_of(letter.envelope))
    reply = yield Script("replay", replay_call(own, letter.id, one.priority, version, one.envelope, ids.nonce()))
    return replay_result(reply, own.queue)


def _options(letter: StoredLetter) -> dict[str, Any]:
    version, *parts = letter.envelope.partition(b"\n")[0].split(b"\t")
    try:
        options: Any = decode_body(parts[0]) if parts else {}
        if version != b"1" or not isinstance(options, dict):
            raise DecodeError("its header is no header")
    except DecodeError as error:
        raise ConfigurationError(f"the dead letter {as_text(letter.id)!r} cannot be edited: {error}") from None
    return options


def _checked(message_id: str, queue: str, envelope: bytes) -> Message:
    """The message of an edited envelope. Raises ConfigurationError, EncodeError."""
    try:
        return decode_envelope(message_id, queue, envelope)
    except DecodeError as error:
        if isinstance(error.__cause__, ConfigurationError):
            raise ConfigurationError(str(error.__cause__)) from None
        raise EncodeError(str(error)) from None
