"""A Redis client of the user, connected at import."""

import os

import redis

client = redis.Redis.from_url(os.environ["SURROUNDINGS_REDIS"], decode_responses=True)
client.ping()


def handler(body):
    key = f"{os.environ['SURROUNDINGS_OUT']}:{body}"
    client.set(key, body)
    assert client.get(key) == str(body)
