"""Output in a slot's shared memory: what is read after a death is of this delivery, whole lines, and the last ones."""

from __future__ import annotations

import mmap
import random

import pytest

from bizzmq.protocol.records import OUTPUT_BYTES
from bizzmq.workers.ipc.output_area import OUTPUT_AREA_BYTES, OutputArea
from bizzmq.workers.ipc.scoreboard import Scoreboard

M1, M2 = "0" * 19 + "1", "0" * 19 + "2"


def area() -> OutputArea:
    return OutputArea(mmap.mmap(-1, OUTPUT_AREA_BYTES + 10), 5)


def test_lines_of_a_delivery_are_read_and_those_of_another_one_are_not() -> None:
    one = area()
    one.write(M1, 1, b"a\n")
    one.write(M1, 1, b"b\n")
    assert one.read(M1, 1) == b"a\nb\n"
    assert one.read(M1, 2) == one.read(M2, 1) == b""

    one.write(M1, 2, b"c\n")
    assert (one.read(M1, 1), one.read(M1, 2)) == (b"", b"c\n")

    one.clear()
    assert one.read(M1, 2) == b""


@pytest.mark.parametrize("seed", range(5))
def test_the_last_64_kilobytes_are_kept_from_the_beginning_of_a_line(seed: int) -> None:
    rng, one = random.Random(seed), area()
    one.write(M1, 1, b"of before\n" * rng.randrange(10_000))
    lines = [b"%d %s\n" % (number, b"x" * rng.randrange(300)) for number in range(1000)]
    for line in lines:
        one.write(M2, 7, line)

    written = b"".join(lines)
    found = one.read(M2, 7)
    assert written.endswith(found)
    assert OUTPUT_BYTES - 400 < len(found) <= OUTPUT_BYTES
    assert found.split(b" ")[0].isdigit()


def test_a_line_that_is_too_long_is_kept_at_its_end() -> None:
    one = area()
    one.write(M1, 1, b"first\n")
    one.write(M1, 1, b"x" * 100_000 + b"end\n")
    assert one.read(M1, 1).endswith(b"xend\n")
    assert len(one.read(M1, 1)) == OUTPUT_BYTES


def test_a_slot_takes_output_of_its_running_message_only() -> None:
    activity = Scoreboard(2).slot(1)
    activity.write_output(M1, 1, b"too early\n")
    activity.begin(M1.encode(), 0, 1.0, 0.0, 65537, 0)
    activity.write_output(M1, 65537, b"a\n")
    activity.write_output(M1, 65536, b"of the delivery before\n")
    activity.write_output(M2, 1, b"of another message\n")
    activity.settling(M1.encode(), 0)
    activity.write_output(M1, 65537, b"too late\n")

    assert activity.output(M1, activity.read().delivery) == b"a\n"
    activity.reset()
    assert activity.output(M1, 65537) == b""
