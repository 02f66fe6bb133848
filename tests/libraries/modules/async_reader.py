"""An async client with a reader task, kept in a global: one connection for all messages of a worker."""

import asyncio
import os
from urllib.parse import urlsplit

import bizzmq

client = None


class Client:
    async def connect(self):
        url = urlsplit(os.environ["SURROUNDINGS_REDIS"])
        self.reader, self.writer = await asyncio.open_connection(url.hostname, url.port)
        self.waiting = []
        self.task = asyncio.create_task(self.read())

    async def read(self):
        while True:
            await self.reader.readline()
            self.waiting.pop(0).set_result((await self.reader.readline()).strip().decode())

    async def ask(self, text):
        answer = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        self.writer.write(f"ECHO {text}\r\n".encode())
        return await answer


@bizzmq.on_worker_boot
async def connect():
    global client
    client = Client()
    await client.connect()


async def handler(body):
    assert await asyncio.gather(client.ask(body), client.ask(-body)) == [str(body), str(-body)]
