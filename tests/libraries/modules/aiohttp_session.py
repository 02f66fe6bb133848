"""A session made in each worker, in the event loop of its handlers."""

import os

import aiohttp

import bizzmq

session = None


@bizzmq.on_worker_boot
async def start():
    global session
    session = aiohttp.ClientSession()


@bizzmq.on_worker_shutdown
async def stop():
    await session.close()


async def handler(body):
    async with session.get(f"{os.environ['LIBRARIES_SERVICE']}/{body}") as answer:
        assert await answer.text() == f"/{body}"
