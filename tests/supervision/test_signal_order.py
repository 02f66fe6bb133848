"""The order in which the supervisor sees signals that came at once."""

from __future__ import annotations

import ctypes
import signal
from typing import Sequence

import pytest

from bizzmq.workers.supervisor.signals import Signals

PAUSE, RESUME, ADD = signal.SIGTSTP, signal.SIGCONT, signal.SIGTTIN


@pytest.mark.parametrize(
    "sent",
    [
        [PAUSE, RESUME], [RESUME, PAUSE], [PAUSE, RESUME, PAUSE], [RESUME, PAUSE, RESUME], [PAUSE, ADD, RESUME],
        [PAUSE], [RESUME], [ADD],
    ],
)  # fmt: skip
def test_of_pause_and_resume_the_last_one_is_last(sent: Sequence[signal.Signals]) -> None:
    libc = ctypes.CDLL(None)
    with Signals() as signals:
        list(map(libc["raise"], sent))  # in C throughout: Python calls no handler between two signals
        taken = signals.take()
        assert signals.take() == []

    assert {*taken} == {*sent}
    assert [one for one in taken if one is not ADD][-1:] == [one for one in sent if one is not ADD][-1:]
