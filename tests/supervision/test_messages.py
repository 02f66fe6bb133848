"""The messages between the processes of a pool arrive as they were sent."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from bizzmq.broker.workers import DeathKind
from bizzmq.middleware.base import WorkerCrash
from bizzmq.workers.ipc import messages
from bizzmq.workers.ipc.channel import Channel, ChannelMessage, Direction
from bizzmq.workers.ipc.worker_exit import WorkerExit

EXIT = WorkerExit("w1", DeathKind.CRASH, "m2", "m1", "was killed by SIGKILL", "q", "", {"stack": "é", "cpu_s": 0.5})
APP = {"queues": {"q": None}, "tasks": []}
CRASH = WorkerCrash("was killed by SIGSEGV", "w1", 0, 7, "host", 1.5, "m1", "q", stack="é\n", oom_killed=None)
SENT: dict[Direction[Any], list[ChannelMessage]] = {
    messages.FROM_WORKER: [
        messages.Hello(7), messages.Booted(), messages.Booted(APP), messages.BootFailure("no module", "Traceback", 2),
        messages.Recycle(spent=True), messages.HoldsSeveral(),
    ],
    messages.TO_WORKER: [messages.Go(["q"]), messages.Go([], (CRASH,)), messages.Leave()],
    messages.FROM_TEMPLATE: [
        messages.Imported(), messages.TemplateReady(7, "", "random", keeps=False, has_threads=True),
        messages.BootFailure("no module"), messages.Unsafe("a thread"), messages.Spawned("w1", 0, "no memory"),
    ],
    messages.TO_TEMPLATE: [messages.Spawn("w1", 3)],
    messages.TO_JANITOR: [
        messages.Register("w1"), messages.Adopt("w1", 7, 3), messages.Requeue(EXIT),
        messages.ReleasePrefetched("w1", "q", "m2", 1), messages.Described(APP), messages.SignOff(),
    ],
    messages.FROM_JANITOR: [
        messages.Alive(), messages.Alive(away=True, aside={"q": "wrong type"}), messages.JanitorReady(),
        messages.Unusable("no Lua"), messages.Registered("w1", ["q"]), messages.Requeued("w1"), messages.SignedOff(),
        messages.Gauges(3, 4),
    ],
    messages.FROM_RELOADER: [messages.FilesChanged(["a.py"])],
    messages.TO_RELOADER: [],
}  # fmt: skip


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


@pytest.mark.parametrize("direction", SENT, ids=[name for name in vars(messages) if name.startswith(("FROM_", "TO_"))])
def test_every_message_of_a_direction_arrives_as_it_was_sent(
    ends: tuple[Channel, Channel], direction: Direction[Any]
) -> None:
    one, other = ends

    for message in SENT[direction]:
        one.send(message)

    assert other.receive(direction) == SENT[direction]
    assert {type(message) for message in SENT[direction]} == set(direction.kinds)


def test_the_message_of_a_dead_worker_keeps_the_kind_of_death(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    one.send(messages.Requeue(EXIT))

    (request,) = other.receive(messages.TO_JANITOR)

    assert isinstance(request, messages.Requeue)
    assert request.worker_exit.what is DeathKind.CRASH


def test_each_operation_has_its_messages() -> None:
    kinds = {kind.op for direction in SENT for kind in direction.kinds}

    assert kinds == set(messages.Op)
