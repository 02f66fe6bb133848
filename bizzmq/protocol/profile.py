"""Samples of what handlers execute: a profile, as a pool answers or keeps it, as a summary, and for speedscope."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from bizzmq.errors import DecodeError
from bizzmq.protocol import json_codec
from bizzmq.protocol.envelope import decode_body

MOST_STACKS, MOST_BYTES = 500, 60_000
"""The bounds of a profile as it is stored. Beyond them, the rarest stacks count as `OTHERS`."""
_SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_LONGEST_NAME = 200


class Frame(NamedTuple):
    """A place in the code: a function, its file, and the line that it executes."""

    function: str
    file: str
    line: int


Stack = Tuple[Frame, ...]
"""The frames of a sample: first the function that the handler calls first, last what is executed."""
OTHERS: Stack = (Frame("(other stacks)", "", 0),)


class FunctionShare(NamedTuple):
    """How often a function was found.

    Attributes:
        own: the share of samples in which it is executed itself, 0 to 1.
        total: the share of samples in which it or what it has called is executed.
        line: the line that it executes most often.
    """

    function: str
    file: str
    line: int
    own: float
    total: float


class Profile:
    """What handlers were executing, sampled again and again.

    Attributes:
        samples: stack -> how often it was found.
        interval_s: the seconds between two samples of a worker.
        missed: samples that a worker did not deliver in time.
    """

    def __init__(self, samples: Mapping[Stack, int], interval_s: float, missed: int = 0) -> None:
        self.samples: Dict[Stack, int] = dict(samples)
        self.interval_s = interval_s
        self.missed = missed

    @property
    def count(self) -> int:
        """How many samples there are."""
        return sum(self.samples.values())

    def functions(self) -> List[FunctionShare]:
        """The functions that were found, those that are executed themselves most often first."""
        own: Counter[Tuple[str, str]] = Counter()
        total: Counter[Tuple[str, str]] = Counter()
        lines: Dict[Tuple[str, str], Counter[int]] = {}
        for stack, count in self.samples.items():
            own[stack[-1][:2]] += count
            total.update(dict.fromkeys({frame[:2] for frame in stack}, count))
            for frame in stack:
                lines.setdefault(frame[:2], Counter())[frame.line] += count
        taken = self.count or 1
        shares = [
            FunctionShare(name, file, lines[name, file].most_common(1)[0][0], own[name, file] / taken, found / taken)
            for (name, file), found in total.items()
        ]
        return sorted(shares, key=lambda one: (-one.own, -one.total, one.file, one.function))

    def speedscope(self, name: str) -> Dict[str, Any]:
        """A file for https://www.speedscope.app, as JSON: a sampled profile, weighted in seconds."""
        frames, stacks = _numbered(self.samples)
        weights = [count * self.interval_s for count in self.samples.values()]
        return {
            "$schema": _SCHEMA,
            "name": name,
            "exporter": "bizzmq",
            "activeProfileIndex": 0,
            "shared": {"frames": [{"name": one.function, "file": one.file, "line": one.line} for one in frames]},
            "profiles": [
                {
                    "type": "sampled",
                    "name": name,
                    "unit": "seconds",
                    "startValue": 0,
                    "endValue": sum(weights),
                    "samples": stacks,
                    "weights": weights,
                }
            ],
        }

    def encode(self) -> bytes:
        """As a pool answers it, at most 60 kB."""
        most = MOST_STACKS
        while True:
            kept = dict(Counter(self.samples).most_common(most))
            others = self.count - sum(kept.values())
            if others:
                kept[OTHERS] = kept.get(OTHERS, 0) + others
            frames, stacks = _numbered(kept)
            data = json_codec.dumps(
                [self.interval_s, self.missed, [list(one) for one in frames], stacks, list(kept.values())]
            )
            if len(data) <= MOST_BYTES or most == 0:
                return data
            most //= 2


def read_profile(stored: bytes) -> Profile:
    """A profile as a pool has answered it. Raises DecodeError."""
    try:
        interval_s, missed, rows, stacks, counts = decode_body(stored)
        frames = [Frame(str(name), str(file), int(line)) for name, file, line in rows]
        samples = {tuple(frames[index] for index in stack): int(count) for stack, count in zip(stacks, counts)}
        if not all(samples):
            raise DecodeError("a profile with an empty stack")
        return Profile(samples, float(interval_s), int(missed))
    except (TypeError, ValueError, IndexError) as error:
        raise DecodeError("not a profile") from error


class KeptProfile(NamedTuple):
    """What a pool has kept of a message that ran for long.

    Attributes:
        profile: the samples. Where it took fewer than one in `interval_s`, each counts for that many.
        delivery: which delivery of the message was sampled, counted from 1.
        worker: the id of the worker that ran it.
        ran_s: for how long it had run at the last sample, seconds.
        at_s: when that was, seconds since the epoch by the pool's clock.
    """

    profile: Profile
    delivery: int
    worker: str
    ran_s: float
    at_s: float

    def encode(self) -> bytes:
        """As it is stored beside the message."""
        about = [self.delivery, self.worker, round(self.ran_s, 3), round(self.at_s, 3)]
        return json_codec.dumps(about) + b"\n" + self.profile.encode()

    def as_dict(self) -> Dict[str, Any]:
        """For JSON, with the functions that were found most often."""
        functions = [one._asdict() for one in self.profile.functions()[:20]]
        about = self._asdict()
        del about["profile"]
        return {**about, "sampled_s": round(self.profile.count * self.profile.interval_s, 3), "functions": functions}


def read_kept_profile(stored: bytes) -> KeptProfile:
    """A profile as it is stored beside a message. Raises DecodeError."""
    about, _, samples = stored.partition(b"\n")
    try:
        delivery, worker, ran_s, at_s = decode_body(about)
        return KeptProfile(read_profile(samples), int(delivery), str(worker), float(ran_s), float(at_s))
    except (TypeError, ValueError) as error:
        raise DecodeError("not a profile of a message") from error


def joined(profiles: Sequence[Profile]) -> Profile:
    """One profile of several pools."""
    samples: Counter[Stack] = Counter()
    for one in profiles:
        samples.update(one.samples)
    interval_s = max((one.interval_s for one in profiles), default=0.0)
    return Profile(samples, interval_s, sum(one.missed for one in profiles))


def shortened(name: str) -> str:
    """The name of a function or file, of bounded length."""
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"


def _numbered(samples: Mapping[Stack, int]) -> Tuple[List[Frame], List[List[int]]]:
    numbers: Dict[Frame, int] = {}
    stacks = [[numbers.setdefault(frame, len(numbers)) for frame in stack] for stack in samples]
    return list(numbers), stacks
