"""The imports of the commands run without the garbage collector, those of other programs as they were."""

from __future__ import annotations

import gc
import sys

import pytest

from bizzmq.utils.interrupts import QuietImports


@pytest.mark.parametrize(("program", "collects"), [("/bin/bizzmq-worker", False), ("-m", False), ("/bin/mine", True)])
def test_only_a_command_collects_no_garbage_meanwhile(
    monkeypatch: pytest.MonkeyPatch, program: str, collects: bool
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "bizzmq", "stats"], raising=False)

    with QuietImports():
        assert gc.isenabled() == collects
        with QuietImports():
            assert gc.isenabled() == collects
        assert gc.isenabled() == collects

    assert gc.isenabled()


def test_an_interrupt_starts_the_collector_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bizzmq"])

    with pytest.raises(SystemExit), QuietImports():
        raise KeyboardInterrupt

    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bizzmq"])
    gc.disable()
    try:
        with QuietImports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
