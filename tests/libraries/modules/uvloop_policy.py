"""uvloop's event loop policy, set at import."""

import asyncio
import os

import uvloop

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def handler(body):
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    process = await asyncio.create_subprocess_exec("echo", str(body), stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == f"{body}\n".encode()
