"""The choice of replacements while workers die. The worker pool is a fake: no process is started."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.supervisor.children.template_process import TemplateState
from bizzmq.workers.supervisor.rolling_restart import Reload, RollingRestart
from bizzmq.workers.supervisor.slot import Phase, Slot


class FakeTemplate:
    def __init__(self) -> None:
        self.state, self.pid, self.failure, self.ended = TemplateState.IMPORTING, 1, BootFailure("broken"), False

    def end(self) -> None:
        self.pid, self.ended = 0, True


class FakePreloader:
    """Named templates that are never started."""

    def __init__(self) -> None:
        self.may_start = True
        self.current: Any = FakeTemplate()
        self.next: Any = None
        self.templates: list[FakeTemplate] = []

    def start_next(self) -> bool:
        self.next = FakeTemplate()
        self.templates.append(self.next)
        return True

    def cancel_next(self) -> None:
        if self.next is not None:
            self.next.end()
        self.next = None

    def promote_next(self) -> None:
        self.current.end()
        self.current, self.next = self.next, None


class FakeWorkerPool:
    """Four slots, two of them working. Names stand for processes."""

    def __init__(self, preloader: FakePreloader) -> None:
        self._preloader = preloader
        board = Scoreboard(4)
        self.slots = [Slot(index, board.slot(index)) for index in range(4)]
        self.generation = 0
        self._names = iter(range(1000))
        for slot in self.slots[:2]:
            slot.phase = Phase.EMPTY
            self.start(slot, preloader.current, 0)
            self.boot(slot)

    @property
    def counted(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.is_counted]

    def free(self) -> Slot | None:
        return next((slot for slot in self.slots if slot.phase is Phase.FREE), None)

    def start(self, slot: Slot, template: Any, generation: int) -> bool:
        if template is None or not template.pid:
            return False
        slot.assign(f"w{next(self._names)}", 100, None, 0.0, generation)  # type: ignore[arg-type]
        return True

    def boot(self, slot: Slot) -> None:
        slot.booted = slot.working = True

    def kill(self, slot: Slot, reason: str, **_: Any) -> None:
        slot.ended_by_us = reason

    def retire(self, slot: Slot) -> None:
        slot.retire(0.0)

    def respawn(self, slot: Slot) -> None:
        """Let the worker die and the next one of the current generation be ready."""
        slot.clear()
        assert self.start(slot, self._preloader.current, self.generation)
        self.boot(slot)


class World:
    def __init__(self) -> None:
        self.preloader = FakePreloader()
        self.worker_pool = FakeWorkerPool(self.preloader)
        self.rolling_restart = RollingRestart(self.worker_pool, self.preloader)  # type: ignore[arg-type]

    def replacement(self) -> Slot:
        (slot,) = [slot for slot in self.worker_pool.slots if slot.is_replacement]
        return slot

    def imported(self) -> None:
        self.preloader.templates[-1].state = TemplateState.READY
        self.rolling_restart.tick()

    def go_on(self) -> None:
        """Let every replacement start and every retired worker exit, until no replacement is in progress."""
        for _ in range(20):
            self.rolling_restart.tick()
            for slot in self.worker_pool.slots:
                if slot.is_replacement and slot.phase is Phase.UP:
                    self.worker_pool.boot(slot)
                if slot.retiring:
                    slot.clear()

    def generations(self) -> set[int]:
        return {slot.generation for slot in self.worker_pool.counted}


@pytest.fixture
def world() -> World:
    return World()


def test_a_reload_replaces_every_worker(world: World) -> None:
    world.rolling_restart.reload()
    world.imported()
    world.go_on()

    assert world.rolling_restart.state is Reload.NONE
    assert world.generations() == {1}
    assert len(world.worker_pool.counted) == 2


def test_a_replacement_with_the_old_code_is_not_a_canary(world: World) -> None:
    world.rolling_restart.replace(world.worker_pool.slots[0], "has grown")
    world.rolling_restart.reload()
    world.rolling_restart.tick()
    world.imported()
    world.worker_pool.boot(world.replacement())
    world.rolling_restart.tick()

    assert world.worker_pool.generation == 0

    world.go_on()

    assert world.generations() == {1}


def test_a_worker_whose_replacement_has_died_gets_another_one(world: World) -> None:
    old = world.worker_pool.slots[0].worker
    world.rolling_restart.replace(world.worker_pool.slots[0], "has grown")
    world.rolling_restart.tick()
    world.replacement().clear()
    world.go_on()

    assert old not in [slot.worker for slot in world.worker_pool.counted]
    assert len(world.worker_pool.counted) == 2


def test_a_worker_respawned_with_old_code_during_the_canary_is_replaced_too(world: World) -> None:
    world.rolling_restart.reload()
    world.imported()
    world.worker_pool.respawn(world.worker_pool.slots[0])
    world.go_on()

    assert world.generations() == {1}


def test_a_worker_in_the_slot_of_a_dead_canary_is_not_a_canary(world: World) -> None:
    world.rolling_restart.reload()
    world.imported()
    slot = world.replacement()
    slot.clear()
    slot.phase = Phase.EMPTY
    world.worker_pool.respawn(slot)
    world.rolling_restart.tick()

    assert world.worker_pool.generation == 0
    assert world.rolling_restart.state is Reload.NONE
    assert world.rolling_restart.last_error


def test_a_reload_whose_template_dies_before_the_canary_fails(world: World) -> None:
    world.rolling_restart.reload()
    world.preloader.templates[-1].state = TemplateState.READY
    world.preloader.templates[-1].pid = 0
    world.go_on()

    assert world.rolling_restart.state is Reload.NONE
    assert world.rolling_restart.last_error


def test_a_hanging_import_is_replaced_by_the_next_reload(world: World) -> None:
    world.rolling_restart.reload()
    world.rolling_restart.tick()
    world.rolling_restart.reload()

    assert world.preloader.templates[0].ended

    world.imported()
    world.go_on()

    assert world.generations() == {1}


def test_a_canary_that_cannot_start_does_not_end_the_next_reload(world: World) -> None:
    world.rolling_restart.reload()
    world.imported()
    canary = world.replacement()
    world.rolling_restart.reload()
    assert world.rolling_restart.failed_to_boot(canary, BootFailure("broken"))
    canary.clear()
    world.rolling_restart.tick()

    assert world.rolling_restart.state is Reload.IMPORTING

    world.imported()
    world.go_on()

    assert world.generations() == {1}


def test_nothing_is_replaced_while_there_is_no_template(world: World) -> None:
    world.preloader.may_start = False
    world.rolling_restart.replace(world.worker_pool.slots[0], "has grown")
    world.go_on()

    assert [slot.worker for slot in world.worker_pool.counted] == ["w0", "w1"]

    world.preloader.may_start = True
    world.go_on()

    assert "w0" not in [slot.worker for slot in world.worker_pool.counted]
