"""`--edit`: a dead letter as a text in the user's editor, and back."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, NoReturn

from bizzmq.broker.replies import as_text
from bizzmq.dead_letters.edit import (
    EDITABLE,
    Edit,
    EditedLetter,
    StoredLetter,
    body_of,
    checked_edit,
    editable_options,
    edited,
)
from bizzmq.dead_letters.letters import header_of, letter_of
from bizzmq.errors import BizzMQError, ConfigurationError, DecodeError
from bizzmq.protocol import nesting
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.sealing import Sealer
from bizzmq.utils import logs
from bizzmq.utils.console import FAILED, CommandError
from bizzmq.utils.wording import utc

_DEFAULT_EDITOR = "vi"
_MOST_BYTES = 16 * 1024 * 1024
_LONGEST = 200


@contextmanager
def editing(letter: StoredLetter, file: str, sealer: Sealer | None, *, opens: bool) -> Iterator[EditedLetter]:
    """A context manager: the edited message. If it is invalid, or the block fails, the edited text is kept.

    Args:
        file: a file with an edited text, or "" to begin with the stored message.
        opens: whether to open the editor.

    Raises:
        ConfigurationError: the text is invalid; the error says where, and in which file it is kept.
        CommandError: the editor has failed, nothing was changed, or the block has failed.
    """
    before = text_of(letter, sealer)
    if not opens:
        yield edited(letter, _change(before, _read(Path(file))), sealer)
        return
    path = _write(letter, _read(Path(file)) if file else before)
    try:
        _open_editor(path)
        change = _change(before, _read(path))
        if change == Edit():
            path.unlink()
            raise _UnchangedError("nothing was changed, so nothing was replayed", FAILED)
        yield edited(letter, change, sealer)
    except _UnchangedError:
        raise
    except BizzMQError as error:
        kept = f"; the text is kept: bizzmq replay {_shell(letter)} --edit --edited {path}" if path.exists() else ""
        text = f"{error}{kept}"
        is_input = isinstance(error, ValueError)
        raise (ConfigurationError(text) if is_input else CommandError(text, FAILED)) from None
    path.unlink()


class _UnchangedError(CommandError):
    """The text was saved as it was."""


def _change(before: str, after: str) -> Edit:
    """What an edited text changes. Raises ConfigurationError."""
    (old_body, old_options), (body, options) = parsed(before), parsed(after)
    names = sorted({*options, *old_options})
    changes = {name: options.get(name) for name in names if _differs(options.get(name), old_options.get(name))}
    change = checked_edit(body if _differs(body, old_body) else Edit().body, changes)
    return Edit() if change is None else change


def _shell(letter: StoredLetter) -> str:
    return shlex.quote(as_text(letter.id))


def text_of(letter: StoredLetter, sealer: Sealer | None = None) -> str:
    """A dead letter as the text that is edited. Raises ConfigurationError if it is unreadable."""
    options = editable_options(letter)
    try:
        body = decode_body(body_of(letter, sealer))
    except DecodeError as error:
        raise ConfigurationError(f"the dead letter {as_text(letter.id)!r} cannot be edited: {error}") from None
    about = letter_of(letter.k, letter.id, header_of(letter.envelope))
    failed_at_s = about.failed_at_s
    when = "" if failed_at_s is None else f" at {utc(failed_at_s)}"
    lines = [
        f"The dead letter {as_text(letter.id)} of {letter.queue}. It is replayed with what you save here.",
        f"Failed{when}: {about.fingerprint.error_type}: {about.error_text[:_LONGEST]}",
        f"Options: {', '.join(EDITABLE)}.",
        "Lines that begin with # do not count. A text without changes replays nothing.",
    ]
    comments = "".join(f"# {logs.escape(line)}\n" for line in lines)
    return comments + json.dumps({"body": body, "options": options}, indent=2) + "\n"


def parsed(text: str) -> tuple[Any, dict[str, Any]]:
    """The body and the options of an edited text. Raises ConfigurationError, with line and column."""
    text = "\n".join("" if line.lstrip().startswith("#") else line for line in text.split("\n"))
    if nesting.is_deep(text.encode("utf-8", "surrogatepass"), nesting.MAX_DEPTH + 1):  # the body is inside an object
        raise ConfigurationError(f"the edited text is {nesting.TOO_DEEP}")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise ConfigurationError(f"the edited text is not JSON: {error}") from None
    if not isinstance(value, dict) or not {"body"} <= {*value} <= {"body", "options"}:
        raise ConfigurationError('the edited text must be an object with "body" and "options"')
    options = value.get("options", {})
    if not isinstance(options, dict):
        raise ConfigurationError('"options" must be an object in the edited text')
    return value["body"], options


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


def _differs(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)


def _open_editor(path: Path) -> None:
    """Run the editor until it ends. An interrupt is the editor's.

    Raises:
        ConfigurationError: it cannot be started.
        CommandError: it has failed.
    """
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _DEFAULT_EDITOR
    before = signal.signal(signal.SIGINT, lambda *_: None)  # not ignored: the editor would inherit that
    try:
        code = subprocess.call([*shlex.split(named), str(path)])
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the editor {named!r} cannot be started: {error}; set EDITOR") from None
    finally:
        signal.signal(signal.SIGINT, before)
    if code != 0:
        raise CommandError(f"the editor has failed with exit code {code}, so nothing was replayed", FAILED)


def _write(letter: StoredLetter, text: str) -> Path:
    """A new file, which only its owner can read, with this text."""
    name = re.sub("[^0-9A-Za-z]", "", as_text(letter.id))[:40]
    try:
        descriptor, path = tempfile.mkstemp(prefix=f"bizzmq-{name}-", suffix=".json")
        with open(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"the text to edit cannot be written: {error}") from None
    return Path(path)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="strict") as file:
            text = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the edited text cannot be read: {error}") from None
    if len(text) > _MOST_BYTES:
        raise ConfigurationError(f"the edited text in {path} is larger than any message")
    return text
