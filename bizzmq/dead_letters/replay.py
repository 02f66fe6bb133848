"""Replays dead letters: one, or all that pass a filter."""

from __future__ import annotations

import logging
from typing import Any, Callable, Iterator

from bizzmq.admin.listing import Cursor
from bizzmq.broker.message_calls import replay_call, replay_result
from bizzmq.broker.messages import BATCH_LIMIT
from bizzmq.broker.operations import Operation, Script, read_time_s
from bizzmq.broker.replies import as_text
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.letters import DeadLetter, find_section, read_end, read_letters
from bizzmq.dead_letters.rates import Pace
from bizzmq.errors import UniqueKeyInUseError
from bizzmq.protocol import ids
from bizzmq.protocol.keys import QueueKeys
from bizzmq.utils.logs import log

_logger = logging.getLogger("bizzmq.dead_letters")


class Replay:
    """Replays the dead letters that exist when it begins and pass a filter, oldest first in each place.

    A message that fails again meanwhile is not replayed a second time: each list is read up to the message that was the
    newest one at the beginning.

    Args:
        k: the keys of the queue or of its dead-letter queue.
        wanted: which dead letters to replay.
        page: how many are read at once, up to 100.

    Attributes:
        letters: the dead letters of the current page that pass.
        nonce: names this replay to the server, for `replay_letter`.
    """

    def __init__(self, k: QueueKeys, wanted: LetterFilter, page: int = BATCH_LIMIT) -> None:
        self._k = k.dead_letters()
        self._wanted = wanted
        self._page = page
        self._cursor: Cursor | None = Cursor()
        self._newest: bytes | None = None
        self._left = 0
        self.letters: list[DeadLetter] = []
        self.nonce = ids.nonce()

    def read_page(self) -> Operation[bool]:
        """Read the next page into `letters`. False at the end. Safe to repeat.

        Raises:
            QueueNotFoundError: there is no such dead-letter queue.
        """
        if self._cursor is None:
            return False
        cursor = self._cursor
        newest, left = self._newest, self._left
        found = yield from find_section(self._k, cursor)
        if found is None:
            self.letters, self._cursor = [], None
            return False
        _, section, here = found
        if here != cursor:  # a section begins
            end = yield from read_end(section)
            newest, left = end.newest, 2 * end.size + self._page  # some are read twice if others replay them, too
        now_s = 0.0 if self._wanted.older_than_s is None else (yield from read_time_s())
        page = yield from read_letters(self._k, here, self._page)
        is_over = left <= self._page or newest in page.ids
        old = page.ids[: page.ids.index(newest) + 1] if newest in page.ids else page.ids
        self._newest, self._left = newest, left - self._page
        self._cursor = here._replace(section=section.name + "z") if is_over else page.following
        self.letters = [one for one in page.letters if one.id in old and self._wanted.passes(one, now_s)]
        return True


def replay_letter(letter: DeadLetter, nonce: str = "") -> Operation[bool]:
    """Return a dead letter to its queue, by its priority.

    Args:
        nonce: if the operation is repeated after an error, the same as before: then the result is right, too.

    Returns:
        False if it is not there, if a worker holds it, or if it has failed again since it was read.

    Raises:
        QueueNotFoundError: the original queue does not exist.
        UniqueKeyInUseError: another message has its unique key.
    """
    own = QueueKeys(letter.k.owner)
    reply = yield Script(
        "replay", replay_call(own, letter.id, letter.priority, letter.version, nonce=nonce or ids.nonce())
    )
    return replay_result(reply, own.queue)


def replay_if_free(letter: DeadLetter, nonce: str) -> Operation[bool]:
    """As `replay_letter`; a letter whose unique key another message has stays, and the log says so."""
    try:
        return (yield from replay_letter(letter, nonce))
    except UniqueKeyInUseError as error:
        log(_logger, logging.WARNING, "a dead letter is not replayed", id=as_text(letter.id), error=error)
        return False


def replay_steps(perform: Callable[..., Any], replay: Replay, pace: Pace) -> Iterator[int]:
    """Replay dead letters one by one; yields 1 for each one, and 0 for each that was gone.

    Args:
        perform: returns the result of an operation, which it gets as a function and its arguments.
    """
    while perform(replay.read_page):
        for letter in replay.letters:
            pace.wait()
            yield int(perform(replay_if_free, letter, replay.nonce))
