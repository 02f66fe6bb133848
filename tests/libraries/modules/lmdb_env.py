"""An environment opened at import; several processes may write to it, but not through a fork."""

import os

import lmdb

env = lmdb.open(os.environ["SURROUNDINGS_OUT"] + ".lmdb", map_size=1 << 24)


def handler(body):
    key = str(body).encode()
    with env.begin(write=True) as writing:
        writing.put(key, key * 100)
    with env.begin() as reading, open(os.environ["SURROUNDINGS_OUT"], "a") as out:
        assert reading.get(key) == key * 100
        print(reading.stat()["entries"], file=out)


def check(lines, messages):
    assert max(map(int, lines)) == messages, f"{max(map(int, lines))} of {messages} entries"
