"""The properties of a message: what a message of a task carries beside its body and its options."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Optional, Tuple

from bizzmq.validation import checks
from bizzmq.validation.checks import MAX_S

MAX_NAME = 200
"""Characters of the name of a task."""
MAX_HEADERS = 64
MAX_HEADER_CHARACTERS = 8192
"""Characters of all headers of a message, names included."""
MAX_KEY_BYTES = 512
"""UTF-8 bytes of a key."""
MAX_ENCODINGS = 4
_NO_HEADERS: Mapping[str, str] = {}


class MessageProperties(NamedTuple):
    """The properties of a message. A plain message has none.

    Attributes:
        task: the name of the task whose arguments the body holds; "" for a message that belongs to no task.
        version: the version of the task's arguments.
        result_ttl_s: how long the result is kept after the end of the message, seconds; 0 keeps none.
        headers: what middleware passes from the publisher to the handler.
        key: the key of the message, such as the name of a tenant; "" for none.
        encoding: what was done to the body before it was stored, such as `zstd`; empty for plain JSON.
        output_ttl_s: how long the output is kept after the end of the handler, seconds; 0 keeps only that of failures.
    """

    task: str = ""
    version: int = 1
    result_ttl_s: float = 0.0
    headers: Mapping[str, str] = _NO_HEADERS
    key: str = ""
    encoding: Tuple[str, ...] = ()
    output_ttl_s: float = 0.0


NO_PROPERTIES = MessageProperties()


def checked_task(value: Any) -> str:
    """The name of a task. Raises ConfigurationError."""
    name = checks.text("the name of a task", value)
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or " " in name:
        checks.refuse("the name of a task", f"1 to {MAX_NAME} printable characters without spaces", value)
    return name


def checked_version(value: Any) -> int:
    """The version of a task. Raises ConfigurationError."""
    return checks.integer("version", value, 1)


def checked_result_ttl(value: Any) -> float:
    """How long a result is kept, seconds. Raises ConfigurationError."""
    return checks.seconds("result_ttl_s", value, most=MAX_S)


def checked_output_ttl(value: Any) -> float:
    """How long output is kept, seconds. Raises ConfigurationError."""
    return checks.seconds("output_ttl_s", value, most=MAX_S)


def checked_headers(value: Any) -> Mapping[str, str]:
    """The headers of a message. Raises ConfigurationError."""
    if value is None:
        return _NO_HEADERS
    if not isinstance(value, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        checks.refuse("headers", "a mapping of texts to texts", value)
    if len(value) > MAX_HEADERS or sum(len(k) + len(v) for k, v in value.items()) > MAX_HEADER_CHARACTERS:
        checks.refuse("headers", f"at most {MAX_HEADERS} headers of {MAX_HEADER_CHARACTERS} characters in all", value)
    return {str.__str__(k): str.__str__(v) for k, v in value.items()}


def checked_key(value: Any, name: str = "key") -> str:
    """The key of a message, "" for none. Raises ConfigurationError."""
    key = checks.text(name, value)
    if len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES or not key.isprintable():
        checks.refuse(name, f"a text of at most {MAX_KEY_BYTES} bytes without control characters", value)
    return key


def _encoding(value: Any) -> Tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_ENCODINGS:
        checks.refuse("encoding", f"a list of at most {MAX_ENCODINGS} texts", value)
    return tuple(checks.text("encoding", one) for one in value)


def checked_unique_key(value: Any, name: str = "unique_key") -> str:
    """A unique key, "" for none. Raises ConfigurationError."""
    key = checked_key(value, name)
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        checks.refuse(name, "a text that UTF-8 can express", value)
    return key


def to_stored(properties: MessageProperties) -> Mapping[str, Any]:
    """The properties as fields of an envelope's options; those that have their default are left out."""
    stored: dict[str, Any] = {}
    if properties.task:
        stored["task"] = properties.task
    if properties.version != 1:
        stored["version"] = properties.version
    if properties.result_ttl_s:
        stored["result_ttl_s"] = properties.result_ttl_s
    if properties.headers:
        stored["headers"] = dict(properties.headers)
    if properties.key:
        stored["key"] = properties.key
    if properties.output_ttl_s:
        stored["output_ttl_s"] = properties.output_ttl_s
    return stored


def read_properties(stored: Mapping[str, Any]) -> Optional[MessageProperties]:
    """The properties from the options of an envelope; None if it has none. Raises ConfigurationError."""
    if not stored:
        return None
    found = MessageProperties(
        checked_task(stored["task"]) if "task" in stored else "",
        checked_version(stored.get("version", 1)),
        checked_result_ttl(stored.get("result_ttl_s", 0.0)),
        checked_headers(stored.get("headers")),
        checked_key(stored.get("key", "")),
        _encoding(stored.get("encoding", ())),
        checked_output_ttl(stored.get("output_ttl_s", 0.0)),
    )
    return None if found == NO_PROPERTIES else found
