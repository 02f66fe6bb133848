"""The model and the Lua do the same: the real scripts repeat transitions of the model on a real server."""

from __future__ import annotations

from typing import Iterator

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from tests.model import sample
from tests.model.calls import call, differences, establish
from tests.model.transitions import BY_THE_MACHINE, SCRIPTS

EXPLORED = sorted(set(SCRIPTS) - BY_THE_MACHINE)


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    broker = Broker(Connection(url))
    yield broker
    broker.connection.drop()


@pytest.mark.timeout(600)  # the first one in each process computes all explorations
@pytest.mark.parametrize("script", EXPLORED)
def test_a_script_does_what_the_model_does(redis: Redis, broker: Broker, script: str) -> None:
    chosen = [executed for executed in sample.transitions() if executed.request.script == script]
    print(f"{script}: {len(chosen)} transitions")  # noqa: T201 - for pytest's report
    assert chosen

    for before, request, outcome in chosen:
        establish(redis, before)
        reply = call(broker, request)
        found = differences(redis, outcome)
        if reply != outcome.reply:
            found.append(f"reply: {reply!r}, not {outcome.reply!r}")
        assert not found, f"{request}\nto {before}\n" + "\n".join(found)
