"""Which worker is replaced by which, whatever dies in between. The crew is a stand-in: no process is started."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq.workers.boot import BootFailure
from bizzmq.workers.renewal import Reload, Renewal
from bizzmq.workers.scoreboard import Scoreboard
from bizzmq.workers.slot import Phase, Slot
from bizzmq.workers.template_link import TemplateState


class FakeTemplate:
    def __init__(self) -> None:
        self.state, self.pid, self.failure, self.ended = TemplateState.IMPORTING, 1, BootFailure("broken", ""), False

    def end(self) -> None:
        self.pid, self.ended = 0, True


class FakeCrew:
    """Four slots, of which two work. What would be a process is a name."""

    def __init__(self) -> None:
        board = Scoreboard(4)
        self.slots = [Slot(index, board.slot(index)) for index in range(4)]
        self.template: Any = FakeTemplate()
        self.generation = 0
        self._names = iter(range(1000))
        for slot in self.slots[:2]:
            slot.phase = Phase.EMPTY
            self.start(slot, self.template, 0)
            self.boot(slot)

    @property
    def counted(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.counts]

    def spare(self) -> Slot | None:
        return next((slot for slot in self.slots if slot.phase is Phase.SPARE), None)

    def start(self, slot: Slot, template: Any, generation: int) -> bool:
        if template is None or not template.pid:
            return False
        slot.occupied(f"w{next(self._names)}", 100, None, 0.0, generation)  # type: ignore[arg-type]
        return True

    def boot(self, slot: Slot) -> None:
        slot.booted = slot.working = True

    def dismiss(self, template: Any) -> None:
        template.end()

    def kill(self, slot: Slot, reason: str, **_: Any) -> None:
        slot.ended_by_us = reason

    def retire(self, slot: Slot) -> None:
        slot.retire(0.0)

    def respawn(self, slot: Slot) -> None:
        """The worker has died, and the next one of the present generation is there."""
        slot.vacated()
        assert self.start(slot, self.template, self.generation)
        self.boot(slot)


class World:
    def __init__(self) -> None:
        self.crew = FakeCrew()
        self.templates: list[FakeTemplate] = []
        self.can_start = True
        self.renewal = Renewal(self.crew, self._new_template, lambda: self.can_start)  # type: ignore[arg-type]

    def _new_template(self) -> Any:
        self.templates.append(FakeTemplate())
        return self.templates[-1]

    def understudy(self) -> Slot:
        (slot,) = [slot for slot in self.crew.slots if slot.understudy]
        return slot

    def imported(self) -> None:
        self.templates[-1].state = TemplateState.READY
        self.renewal.tick()

    def go_on(self) -> None:
        """Let every understudy boot and every retired worker leave, until nothing is under way."""
        for _ in range(20):
            self.renewal.tick()
            for slot in self.crew.slots:
                if slot.understudy and slot.phase is Phase.UP:
                    self.crew.boot(slot)
                if slot.retiring:
                    slot.vacated()

    def generations(self) -> set[int]:
        return {slot.generation for slot in self.crew.counted}


@pytest.fixture
def world() -> World:
    return World()


def test_a_reload_renews_every_worker(world: World) -> None:
    world.renewal.reload()
    world.imported()
    world.go_on()

    assert world.renewal.state is Reload.NONE
    assert world.generations() == {1}
    assert len(world.crew.counted) == 2


def test_an_understudy_of_the_old_code_is_no_canary(world: World) -> None:
    world.renewal.replace(world.crew.slots[0], "has grown")
    world.renewal.reload()
    world.renewal.tick()
    world.imported()
    world.crew.boot(world.understudy())
    world.renewal.tick()

    assert world.crew.generation == 0

    world.go_on()

    assert world.generations() == {1}


def test_a_worker_whose_understudy_has_died_gets_another_one(world: World) -> None:
    old = world.crew.slots[0].worker
    world.renewal.replace(world.crew.slots[0], "has grown")
    world.renewal.tick()
    world.understudy().vacated()
    world.go_on()

    assert old not in [slot.worker for slot in world.crew.counted]
    assert len(world.crew.counted) == 2


def test_old_code_that_was_respawned_beside_the_canary_is_renewed_too(world: World) -> None:
    world.renewal.reload()
    world.imported()
    world.crew.respawn(world.crew.slots[0])
    world.go_on()

    assert world.generations() == {1}


def test_a_worker_in_a_dead_canarys_slot_is_no_canary(world: World) -> None:
    world.renewal.reload()
    world.imported()
    slot = world.understudy()
    slot.vacated()
    slot.phase = Phase.EMPTY
    world.crew.respawn(slot)
    world.renewal.tick()

    assert world.crew.generation == 0
    assert world.renewal.state is Reload.NONE
    assert world.renewal.last_error


def test_a_reload_whose_template_dies_before_the_canary_has_failed(world: World) -> None:
    world.renewal.reload()
    world.templates[-1].state = TemplateState.READY
    world.templates[-1].pid = 0
    world.go_on()

    assert world.renewal.state is Reload.NONE
    assert world.renewal.last_error


def test_an_import_that_hangs_is_overtaken_by_the_next_reload(world: World) -> None:
    world.renewal.reload()
    world.renewal.tick()
    world.renewal.reload()

    assert world.templates[0].ended

    world.imported()
    world.go_on()

    assert world.generations() == {1}


def test_a_canary_that_cannot_boot_does_not_end_the_reload_after_it(world: World) -> None:
    world.renewal.reload()
    world.imported()
    canary = world.understudy()
    world.renewal.reload()
    assert world.renewal.failed_to_boot(canary, BootFailure("broken"))
    canary.vacated()
    world.renewal.tick()

    assert world.renewal.state is Reload.IMPORTING

    world.imported()
    world.go_on()

    assert world.generations() == {1}


def test_nothing_is_replaced_while_there_is_no_template(world: World) -> None:
    world.can_start = False
    world.renewal.replace(world.crew.slots[0], "has grown")
    world.go_on()

    assert [slot.worker for slot in world.crew.counted] == ["w0", "w1"]

    world.can_start = True
    world.go_on()

    assert "w0" not in [slot.worker for slot in world.crew.counted]
