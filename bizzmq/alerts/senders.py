"""Where alerts are sent: a webhook, a command, or the log. Each send ends in time, answered or not."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Callable, List, Mapping, NamedTuple, Protocol, Sequence

from bizzmq.alerts.note import BEGIN
from bizzmq.errors import ConfigurationError
from bizzmq.utils import clock
from bizzmq.utils.logs import log
from bizzmq.utils.wording import span

_logger = logging.getLogger("bizzmq.alerts")
PAUSES_S = (1.0, 3.0)
"""The waits between the tries of one send."""
_MOST_HUNG = 4
_Wait = Callable[[float], None]


class Notice(NamedTuple):
    """An alert as it is sent.

    Attributes:
        alert: its kind, such as `no-worker`.
        state: `begin` or `over`.
        queue: the queue; "" for an alert about all of them.
        sentence: what is wrong.
        since_s: since when it holds, seconds since the epoch by Redis's clock.
        at_s: now, by the same clock.
        value, limit: the number and the limit that it has reached; None when it is over.
    """

    alert: str
    state: str
    queue: str
    sentence: str
    since_s: float
    at_s: float
    value: Any = None
    limit: Any = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON. `id` is the same when it begins and when it is over; `text` is what chats show."""
        word = "alert" if self.state == BEGIN else "over"
        found = f"{self.queue or 'bizzmq'}/{self.alert}/{round(self.since_s * 1000)}"
        return {"id": found, "text": f"{word}: {self.sentence}", **self._asdict()}

    def encode(self) -> bytes:
        """One JSON document."""
        return json.dumps(self.as_dict()).encode("utf-8")


class SendError(Exception):
    """An alert could not be sent. The text has no secret."""


class Sender(Protocol):
    """Something that sends alerts.

    Attributes:
        longest_s: how long `send` takes at most, seconds.
    """

    longest_s: float

    def send(self, notice: Notice) -> None:
        """Send it. Raises SendError."""


class ToLog:
    """Writes alerts to the log."""

    longest_s = 1.0

    def send(self, notice: Notice) -> None:
        level, sentence = (logging.WARNING, "alert") if notice.state == BEGIN else (logging.INFO, "alert is over")
        log(_logger, level, sentence, alert=notice.alert, queue=notice.queue, problem=notice.sentence,
            for_s=round(max(0.0, notice.at_s - notice.since_s), 1))  # fmt: skip


class Tried:
    """Sends by another sender, and tries again a few times if that fails.

    Args:
        wait: waits for some seconds.
    """

    def __init__(self, sender: Sender, wait: _Wait = time.sleep) -> None:
        self._sender, self._wait = sender, wait
        self.longest_s = sum(PAUSES_S) + (1 + len(PAUSES_S)) * sender.longest_s

    def send(self, notice: Notice) -> None:
        for pause_s in PAUSES_S:
            try:
                self._sender.send(notice)
            except SendError:
                self._wait(pause_s)
            else:
                return
        self._sender.send(notice)


class ToWebhook:
    """Posts alerts as JSON. Any answer 2xx is success; a redirect is none.

    Args:
        url: http or https. It may be a secret itself, so nothing repeats it.
        token: is sent as `Authorization: Bearer`; "" for none.

    Raises:
        ConfigurationError: the URL is no address for this.
    """

    def __init__(self, url: str, token: str = "", timeout_s: float = 10.0) -> None:
        self._url, self._timeout_s = checked_webhook(url), timeout_s
        self.longest_s = timeout_s + 1.0
        self._headers = {"Content-Type": "application/json", "User-Agent": "bizzmq"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = urllib.request.build_opener(_NoRedirects)
        self._posts: List[threading.Thread] = []

    def send(self, notice: Notice) -> None:
        """A thread posts it: no time limit of a socket ends an answer that comes byte by byte."""
        self._posts = [thread for thread in self._posts if thread.is_alive()]
        if len(self._posts) >= _MOST_HUNG:
            raise SendError("the webhook has not answered earlier alerts yet")
        problems: List[str] = []
        post = threading.Thread(target=lambda: problems.append(self._post(notice)), daemon=True)
        post.start()
        post.join(self._timeout_s)
        if post.is_alive():
            self._posts.append(post)
            raise SendError(f"the webhook has not answered within {span(self._timeout_s)}")
        if problems != [""]:
            raise SendError(problems[0] if problems else "the webhook could not be called")

    def _post(self, notice: Notice) -> str:
        """Why it was not accepted; "" if it was."""
        request = urllib.request.Request(self._url, notice.encode(), self._headers, method="POST")  # noqa: S310 - checked
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return ""
        except urllib.error.HTTPError as error:
            error.close()
            return f"the webhook answered {error.code}"
        except Exception as error:  # noqa: BLE001 - many kinds, down to those of TLS and of http.client
            reason = getattr(error, "reason", error)
            return f"the webhook cannot be reached: {getattr(reason, 'strerror', None) or type(reason).__name__}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET."""

    def redirect_request(self, *_: Any) -> None:
        return None


def checked_webhook(url: str) -> str:
    """The URL. Raises ConfigurationError, whose text does not repeat it."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        is_fine = is_fine and (parts.port or 1) > 0  # a bad port raises
    except ValueError:
        is_fine = False
    if not is_fine or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError("the webhook must be a URL such as https://HOST/PATH, without user and password")
    return url


class ToCommand:
    """Runs a command for each alert, with the JSON on its standard input. Exit code 0 is success.

    The command is no line of a shell. It is the leader of a process group of its own, which is killed after the time.

    Raises:
        ConfigurationError: there is no such program.
    """

    def __init__(self, line: str, timeout_s: float = 10.0) -> None:
        self._words, self._timeout_s = checked_command(line), timeout_s
        self.longest_s = timeout_s + 1.0

    def send(self, notice: Notice) -> None:
        environment = {**os.environ, **_variables(notice)}
        try:
            process = subprocess.Popen(
                self._words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, env=environment,
            )  # fmt: skip
        except OSError as error:
            raise SendError(f"the command cannot be started: {error.strerror}") from None
        until_s = clock.monotonic() + self._timeout_s
        try:
            process.communicate(notice.encode(), timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise SendError(f"the command has not ended within {span(self._timeout_s)}") from None
        finally:
            _end(process, has_time=clock.monotonic() < until_s)
        if process.returncode:
            raise SendError(f"the command has ended with {_how(process.returncode)}")


def _end(process: subprocess.Popen[bytes], *, has_time: bool) -> None:
    """Kill what is left of the command, unless it has ended in time: then what it has started may go on."""
    if process.poll() is None or not has_time:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass  # all of it has ended
    process.wait()


def _how(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"


def _variables(notice: Notice) -> Mapping[str, str]:
    """What a short script needs, so that it need not read JSON."""
    found = {"ALERT": notice.alert, "STATE": notice.state, "QUEUE": notice.queue, "SENTENCE": notice.sentence}
    return {f"BIZZMQ_ALERT_{name}": value.replace("\0", "") for name, value in found.items()}


def checked_command(line: str) -> Sequence[str]:
    """The words of the command. Raises ConfigurationError."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigurationError(f"the command cannot be read: {str(error).lower()}") from None
    if not words:
        raise ConfigurationError("the command is empty")
    program = shutil.which(words[0])
    if program is None:
        raise ConfigurationError(f"there is no program {words[0]!r} that can be executed")
    return [program, *words[1:]]
