"""The torture engine reports losses, and undoes lasting faults."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from bizzmq.testing.healing import Healing
from bizzmq.testing.site import SingleServer
from bizzmq.testing.stage import Settings
from bizzmq.testing.strike import Hit, Kind
from bizzmq.testing.torture import Torture
from tests.support.paths import ROOT

FAILING = "tests.soak.handler:handler"
SLOW = [{"ms": 40, "fails": ""}]
FAR = float("inf")


def kind(group: str) -> Kind:
    return Kind("k", lambda _rng: Hit(), alone_in=group, is_outage=True)


def test_a_server_that_loses_messages_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    site = SingleServer(persistence="none")
    try:
        settings = Settings("tests.soak.handler:handler", 2.0, 1, 1, 100.0, SLOW, ("redis-kill",), patience_s=5.0)
        verdict = Torture(site, settings, tmp_path).run()
    finally:
        site.close()

    assert verdict.balance.lost > 0
    assert not verdict.holds
    assert [problem for problem in verdict.balance.problems if problem.endswith(" is lost")]
    assert (tmp_path / "pools.log").exists()


def test_a_lasting_fault_blocks_its_group_until_it_is_undone() -> None:
    healing, allowed, healed = Healing(), threading.Event(), threading.Event()
    healing.add(kind("g"), Hit("x", heal=allowed.wait), 0.0, healed.set)

    healing.tick()
    assert not healing.is_free("g")
    assert healing.is_free("other")
    assert healing.is_free("")
    assert healing.is_outage
    assert not healed.is_set()
    allowed.set()
    healing.finish()

    assert healed.is_set()
    assert healing.is_free("g")
    assert not healing.is_outage


def test_an_undo_that_hangs_is_reported() -> None:
    healing, allowed = Healing(longest_s=0.05), threading.Event()
    healing.add(kind("g"), Hit("x", heal=allowed.wait), FAR, lambda: None)

    with pytest.raises(AssertionError, match=r"k: the healing hangs, it has not ended in 0\.05 s"):
        healing.finish()

    healing.join()  # the reported one is no longer waited for
    allowed.set()


def test_an_undo_that_fails_at_the_end_is_reported() -> None:
    healing = Healing()
    healing.add(kind("g"), Hit("x", heal=lambda: 1 / 0), FAR, lambda: None)

    with pytest.raises(AssertionError, match="k could not be healed: division by zero"):
        healing.finish()


def test_a_fault_that_would_last_longer_is_undone_at_the_end() -> None:
    healing, healed = Healing(), threading.Event()
    healing.add(kind(""), Hit("x", heal=lambda: None), FAR, healed.set)
    healing.tick()
    assert not healed.is_set()

    healing.finish()

    assert healed.is_set()


def test_a_fault_that_cannot_be_undone_is_reported() -> None:
    healing = Healing()
    healing.add(kind("g"), Hit("x", heal=lambda: 1 / 0), 0.0, lambda: None)

    with pytest.raises(AssertionError, match="k could not be healed: division by zero"):
        healing.finish()

    assert healing.is_free("g")


def test_a_handler_that_handles_nothing_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    site = SingleServer()
    try:
        bodies = [{"ms": 0, "fails": "always"}]
        verdict = Torture(site, Settings(FAILING, 2.0, 1, 1, 5.0, bodies, ("worker-kill",)), tmp_path).run()
    finally:
        site.close()

    assert not verdict.holds
    assert verdict.balance.failed == verdict.balance.published > 0
    assert "nothing was handled, so this shows nothing; the handler's error: Planned" in verdict.balance.problems[0]
