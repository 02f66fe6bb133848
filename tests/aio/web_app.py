"""A web application that publishes what it is sent. Run by a real server in test_web_server.py."""

from __future__ import annotations

import contextlib
import os
from typing import Any, AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bizzmq import AsyncBizzMQ

mq = AsyncBizzMQ(os.environ["BIZZMQ_REDIS_URL"], max_connections=4)
handled: list[Any] = []


async def publish(request: Request) -> JSONResponse:
    return JSONResponse({"id": await mq.publish_message_to_queue("q", await request.json())})


async def show(_request: Request) -> JSONResponse:
    stats = await mq.stats("q")
    return JSONResponse({"acked": stats.acked, "handled": len(handled)})


async def handle(body: Any) -> None:
    handled.append(body)


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with mq:
        await mq.create_queue("q")
        await mq.consume_message_from_queue("q", handle)
        yield


app = Starlette(routes=[Route("/", publish, methods=["POST"]), Route("/", show)], lifespan=lifespan)
