"""A connection pool made in each worker, in the event loop of its handlers."""

import os

import asyncpg

import bizzmq

FOLDER = os.environ["LIBRARIES_SERVICE"]
pool = None


@bizzmq.on_worker_boot
async def connect():
    global pool
    pool = await asyncpg.create_pool(host=FOLDER, user="postgres", database="postgres", min_size=1, max_size=2)


@bizzmq.on_worker_shutdown
async def disconnect():
    await pool.close()


async def handler(body):
    assert await pool.fetchval("select $1::int", body) == body
