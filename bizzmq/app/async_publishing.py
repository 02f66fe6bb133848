"""Publishing for asyncio. The client is imported when it is used: programs that block need none of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List, Mapping, Sequence

from bizzmq.message import MessageOptions

if TYPE_CHECKING:
    from bizzmq.aio.client import AsyncBizzMQ


def _module() -> Any:
    return importlib.import_module("bizzmq.aio.client")


def client(redis_url: str, options: Mapping[str, Any]) -> AsyncBizzMQ:
    """A client that is not connected yet. Raises ConfigurationError."""
    made: AsyncBizzMQ = _module().AsyncBizzMQ(redis_url, **options)
    return made


async def publish(
    mq: AsyncBizzMQ, queue: str, bodies: Sequence[Any], options: MessageOptions, task: str, version: int
) -> List[str]:
    """Publish messages for a task; returns the ids."""
    ids: List[str] = await _module().publish_to_task(mq, queue, bodies, options, task, version)
    return ids


async def create_implicitly(mq: AsyncBizzMQ, queue: str) -> bool:
    """Create a queue as a pool does. Returns whether it was created."""
    is_new: bool = await _module().create_implicitly(mq, queue)
    return is_new
