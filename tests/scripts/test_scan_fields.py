"""The names of a hash's fields, on servers that leave out the values and on those that cannot."""

from __future__ import annotations

import shutil
from typing import Callable

import pytest

from bizzmq.broker.broker import Broker
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.server import RedisServer

BINARIES = list(dict.fromkeys(found for found in (server_binary(), shutil.which("redis-server")) if found))


@pytest.mark.parametrize("binary", BINARIES, ids=lambda path: path.rpartition("/")[2])
def test_all_names_come_in_pages_and_no_value_does(broker_factory: Callable[[str], Broker], binary: str) -> None:
    server = RedisServer(binary=binary)
    try:
        names = {b"%d" % number for number in range(1000)}
        server.client().hset("h", mapping=dict.fromkeys(names, "value"))
        broker, found, cursor, pages = broker_factory(server.url), set(), b"0", 0

        while pages == 0 or cursor != b"0":
            cursor, page = broker.scan_fields("h", cursor, 100)
            found.update(page)
            pages += 1
    finally:
        server.close()

    assert found == names
    assert pages > 5
