"""What a running message records: its progress, its checkpoint and its output, as they are stored."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple

from bizzmq.errors import CheckpointError, DecodeError, EncodeError, PayloadTooLargeError
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES, decode_body, encode_body

MAX_CHECKPOINT_BYTES = MAX_PAYLOAD_BYTES
SMALL_BYTES = 4096
"""Bytes of a checkpoint that fits into the shared memory of a worker's slot."""
MAX_PROGRESS_BYTES = 512
MAX_NOTE = 100
"""Characters of a progress note that are kept."""


OUTPUT_BYTES = 64 * 1024
"""How much of the output of a message is kept: the last bytes."""


class KeptOutput(NamedTuple):
    """Output that is kept for some time.

    Attributes:
        ttl_ms: for how long.
    """

    data: bytes
    ttl_ms: int


NO_OUTPUT = KeptOutput(b"", 0)


def last_output(data: bytes, *, is_cut: bool = False) -> bytes:
    """The last OUTPUT_BYTES, from the beginning of a line on if something is missing before them.

    Args:
        is_cut: whether something is missing already.
    """
    if len(data) > OUTPUT_BYTES:
        data, is_cut = data[-OUTPUT_BYTES:], True
    if not is_cut:
        return data
    newline = data.find(b"\n")
    return data[newline + 1 :] if 0 <= newline < len(data) - 1 else data


class Checkpoint(NamedTuple):
    """What a handler has saved for the next delivery.

    Attributes:
        version: of the task whose code has saved it.
        state: the handler's own state.
        loops: the position of each loop over `Context.resume`, by its name.
    """

    version: int = 1
    state: Any = None
    loops: Dict[str, Any] = {}  # noqa: RUF012 - never changed in place


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as JSON. Raises CheckpointError: the state is no JSON, or too large."""
    stored = {"version": checkpoint.version, "state": checkpoint.state, "loops": checkpoint.loops}
    try:
        data = encode_body(stored, MAX_CHECKPOINT_BYTES)
    except PayloadTooLargeError as error:
        raise CheckpointError(f"a checkpoint must be JSON of at most {MAX_CHECKPOINT_BYTES:,} bytes") from error
    except EncodeError as error:
        why = str(error).replace("the message is not JSON: ", "").replace("a message's keys", "its keys")
        raise CheckpointError(f"a checkpoint must be JSON: {why}") from error
    return data


def decode_checkpoint(data: bytes, version: int) -> Checkpoint:
    """A stored checkpoint; an empty one if there is none, if it is damaged, or if another version has saved it."""
    try:
        stored = decode_body(data) if data else {}
    except DecodeError:
        stored = {}
    if not isinstance(stored, dict) or stored.get("version") != version:
        return Checkpoint(version)
    loops = stored.get("loops")
    return Checkpoint(version, stored.get("state"), dict(loops) if isinstance(loops, dict) else {})


class Progress(NamedTuple):
    """How far a message is.

    Attributes:
        done: what is done, in any unit.
        total: all that is to be done, in the same unit; None if that is unknown.
        note: a short text for people.
        at_s: when it was reported, seconds since the epoch by the worker's clock.
    """

    done: float
    total: float | None
    note: str
    at_s: float


def encode_progress(progress: Progress) -> bytes:
    """Progress as JSON. A long note is cut."""
    note = progress.note[:MAX_NOTE]
    data = encode_body([progress.done, progress.total, note, round(progress.at_s, 3)])
    while len(data) > MAX_PROGRESS_BYTES:
        note = note[: len(note) // 2]
        data = encode_body([progress.done, progress.total, note, round(progress.at_s, 3)])
    return data


def decode_progress(data: bytes | None) -> Progress | None:
    """Stored progress; None if there is none, or it is damaged."""
    try:
        done, total, note, at_s = decode_body(data or b"null")
        is_valid = _is_number(done) and (total is None or _is_number(total)) and _is_number(at_s)
        return Progress(done, total, str(note), at_s) if is_valid else None
    except (DecodeError, TypeError, ValueError):
        return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
