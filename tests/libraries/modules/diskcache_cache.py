import os

import diskcache

cache = diskcache.Cache(os.environ["SURROUNDINGS_OUT"] + ".cache", timeout=20)
cache.add("handled", 0)


def handler(body):
    with open(os.environ["SURROUNDINGS_OUT"], "a") as out:
        print(cache.incr("handled"), file=out)


def check(lines, messages):
    assert len(set(lines)) == len(lines) == messages, f"{len(set(lines))} numbers of {messages} messages"
