"""The methods of an async client that find, group and replay dead letters."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Callable, Mapping

from bizzmq.admin.arguments import checked_id, keys_of
from bizzmq.admin.listing import MessagePage, checked_limit
from bizzmq.aio.queue_client import AsyncQueueClient
from bizzmq.dead_letters import edit
from bizzmq.dead_letters.client import check_one
from bizzmq.dead_letters.edit import UNCHANGED, Edit
from bizzmq.dead_letters.filters import checked_filter
from bizzmq.dead_letters.groups import DeadLetterGroup, Grouping
from bizzmq.dead_letters.letters import read_letter
from bizzmq.dead_letters.listing import list_letters
from bizzmq.dead_letters.rates import Pace, checked_rate
from bizzmq.dead_letters.replay import Replay, replay_if_free, replay_letter
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.sealing import Sealer


class AsyncDeadLetterClient(AsyncQueueClient):
    """What the command `bizzmq dlq` does, as methods."""

    def _edit_settings(self) -> tuple[Sealer | None, Callable[[Any], bytes]]:
        """What signs an edited message, or None, and what makes JSON of its body."""
        raise NotImplementedError  # the client has them

    async def dead_letters(
        self,
        queue_name: str,
        *,
        task: str | None = None,
        key: str | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        older_than_s: float | timedelta | None = None,
        text: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> MessagePage:
        """As BizzMQ.dead_letters."""
        k, limit = keys_of(queue_name), checked_limit(limit)
        wanted = checked_filter(task, key, error_type, fingerprint, older_than_s, text)
        return await self._perform(list_letters, k, wanted, limit, after)

    async def dead_letter_groups(
        self,
        queue_name: str,
        *,
        task: str | None = None,
        key: str | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        older_than_s: float | timedelta | None = None,
        text: str | None = None,
    ) -> list[DeadLetterGroup]:
        """As BizzMQ.dead_letter_groups."""
        wanted = checked_filter(task, key, error_type, fingerprint, older_than_s, text)
        grouping = Grouping(keys_of(queue_name), wanted)
        while not grouping.is_complete:
            await self._perform(grouping.read_page)
        return grouping.groups()

    async def replay(
        self,
        queue_name: str,
        message_id: str | None = None,
        *,
        task: str | None = None,
        key: str | None = None,
        error_type: str | None = None,
        fingerprint: str | None = None,
        older_than_s: float | timedelta | None = None,
        text: str | None = None,
        rate: float | str | None = None,
        body: Any = UNCHANGED,
        options: Mapping[str, Any] | None = None,
    ) -> int:
        """As BizzMQ.replay. If it is cancelled, some may have been replayed."""
        k = keys_of(queue_name)
        wanted = checked_filter(task, key, error_type, fingerprint, older_than_s, text)
        change, pace = edit.checked_edit(body, options), Pace(checked_rate(rate))
        check_one(message_id, wanted, change)
        if message_id is None:
            return await self._replay_all(Replay(k, wanted), pace)
        raw_id = checked_id(message_id)
        if change is not None:
            return int(await self._replay_edited(k, raw_id, change))
        letter = await self._perform(read_letter, k.dead_letters(), raw_id)
        return 0 if letter is None else int(await self._perform(replay_letter, letter))

    async def _replay_all(self, replay: Replay, pace: Pace) -> int:
        replayed = 0
        while await self._perform(replay.read_page):
            for letter in replay.letters:
                await asyncio.sleep(pace.wait_s())
                replayed += await self._perform(replay_if_free, letter, replay.nonce)
        return replayed

    async def _replay_edited(self, k: QueueKeys, raw_id: bytes, change: Edit) -> bool:
        letter = await self._perform(edit.read_stored_letter, k, raw_id)
        if letter is None:
            return False
        return await self._perform(edit.replay_edited, edit.edited(letter, change, *self._edit_settings()))
