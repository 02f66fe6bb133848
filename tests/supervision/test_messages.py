"""The messages between the processes of a pool arrive as they were sent."""

from __future__ import annotations

from typing import Any, Iterator

import pytest

from bizzmq.broker.workers import DeathKind
from bizzmq.middleware.base import WorkerCrash
from bizzmq.workers.ipc import janitor_messages, reloader_messages, template_messages, worker_messages
from bizzmq.workers.ipc.channel import Channel, ChannelMessage, Direction
from bizzmq.workers.ipc.op import Op
from bizzmq.workers.ipc.worker_exit import WorkerExit

EXIT = WorkerExit("w1", DeathKind.CRASH, "m2", "m1", "was killed by SIGKILL", "q", "", {"stack": "é", "cpu_s": 0.5})
APP = {"queues": {"q": None}, "tasks": []}
CRASH = WorkerCrash("was killed by SIGSEGV", "w1", 0, 7, "host", 1.5, "m1", "q", stack="é\n", oom_killed=None)
SENT: dict[Direction[Any], list[ChannelMessage]] = {
    worker_messages.FROM_WORKER: [
        worker_messages.Hello(7),
        worker_messages.Booted(),
        worker_messages.Booted(APP),
        worker_messages.BootFailure("no module", "Traceback", 2),
        worker_messages.Recycle(spent=True),
        worker_messages.HoldsSeveral(),
    ],
    worker_messages.TO_WORKER: [worker_messages.Go(["q"]), worker_messages.Go([], (CRASH,)), worker_messages.Leave()],
    template_messages.FROM_TEMPLATE: [
        template_messages.Imported(),
        template_messages.TemplateReady(7, "", "random", keeps=False, has_threads=True),
        worker_messages.BootFailure("no module"),
        template_messages.Unsafe("a thread"),
        template_messages.Spawned("w1", 0, "no memory"),
    ],
    template_messages.TO_TEMPLATE: [template_messages.Spawn("w1", 3)],
    janitor_messages.TO_JANITOR: [
        janitor_messages.Register("w1"),
        janitor_messages.Adopt("w1", 7, 3),
        janitor_messages.Requeue(EXIT),
        janitor_messages.ReleasePrefetched("w1", "q", "m2", 1),
        janitor_messages.Described(APP),
        janitor_messages.Answer("r1", True, "done"),
        janitor_messages.KeepProfile("w1", "q", "m1", "[1]\n[]"),
        janitor_messages.SignOff(),
    ],
    janitor_messages.FROM_JANITOR: [
        janitor_messages.Alive(),
        janitor_messages.Alive(away=True, aside={"q": "wrong type"}, paused={"q": "queue q is paused"}),
        janitor_messages.JanitorReady(),
        janitor_messages.Unusable("no Lua"),
        janitor_messages.Registered("w1", ["q"]),
        janitor_messages.Requeued("w1"),
        janitor_messages.SignedOff(),
        janitor_messages.Gauges(3, 4),
        janitor_messages.QueueLengths({"q": [1, 2, 3, 4, 5]}, {"q": [0.5, 2.0]}),
        janitor_messages.CancelRunning("w1", "m1", 2),
        janitor_messages.SlowMessage("w1", "m1", 2),
        janitor_messages.Ask("r1", "profile", "ada", "w1", "m1", "t", "10", 1.5),
    ],
    reloader_messages.FROM_RELOADER: [reloader_messages.FilesChanged(["a.py"])],
    reloader_messages.TO_RELOADER: [],
}


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


DIRECTIONS = {
    name: value
    for module in (janitor_messages, reloader_messages, template_messages, worker_messages)
    for name, value in vars(module).items()
    if isinstance(value, Direction)
}


def test_every_direction_is_tested() -> None:
    assert set(DIRECTIONS.values()) == set(SENT)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
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
    one.send(janitor_messages.Requeue(EXIT))

    (request,) = other.receive(janitor_messages.TO_JANITOR)

    assert isinstance(request, janitor_messages.Requeue)
    assert request.worker_exit.what is DeathKind.CRASH


def test_each_operation_has_its_messages() -> None:
    kinds = {kind.op for direction in SENT for kind in direction.kinds}

    assert kinds == set(Op)
