"""The first stage of a run: mutants meet the rows of the scripts' tables, many in one process without pytest."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Sequence, Set, Tuple

from redis.exceptions import RedisError

from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.testing.server import RedisServer
from tests.mutation.children import fork, kill
from tests.mutation.mutants import LUA, Mutant
from tests.scripts import test_half_moves, test_moves
from tests.scripts.moves import Move

NO_REPLY = (OSError, RedisError)  # BrokerUnavailableError is an OSError
_BASELINE = -1
Row = Tuple[str, Callable[[Move], None], Move]  # its name is that of the test in pytest


class BaselineError(Exception):
    """The tests fail on the unchanged scripts, so every mutant would count as killed."""


class Rows:
    """The rows, a server for them, and a folder of scripts in which one at a time is a mutant.

    Within the context, this process loads its scripts from the folder.

    Args:
        folder: a copy of `bizzmq/lua`, which `killer` changes and restores.
        timeout_s: time limit of each reply. A script that takes longer hangs.
    """

    def __init__(
        self,
        folder: Path,
        moves: Iterable[Move] = test_moves.MOVES,
        scenes: Iterable[Move] = test_moves.SCENES,
        timeout_s: float = 2.0,
    ) -> None:
        self._folder, self._timeout_s = folder, timeout_s
        self._moves, self._scenes = list(moves), list(scenes)
        self._kills: Counter[str] = Counter()
        self.server = RedisServer()

    def __enter__(self) -> Rows:
        self._usual = scripts._FOLDER
        self._load_from(self._folder)
        self._uses = {name: {name, *scripts.load(name).includes} for name in scripts.names()}
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._load_from(self._usual)
        self._connection.drop()
        self.server.close()

    def killer(self, mutant: Mutant) -> str:
        """The test and the row that fail on the mutant, or ""."""
        path = next(self._folder.glob(f"*/{mutant.script}.lua"))
        whole = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        try:
            found = self.failing(mutant.script)
        finally:
            path.write_text(whole, encoding="utf-8")
        self._kills[found] += 1
        return found

    def failing(self, script: str) -> str:
        """The first test and row of the script that fail, or "". Rows that killed many mutants come first."""
        scripts.load.cache_clear()
        self._redis.script_flush()  # or the texts of all mutants would stay in the server
        rows = sorted(self._rows(script), key=lambda row: -self._kills[row[0]])
        late = sorted(self._half_moves(script), key=lambda row: -self._kills[row[0]])
        return next((name for name, test, move in [*rows, *late] if self._fails(test, move)), "")

    def _rows(self, script: str) -> Iterator[Row]:
        for move in self._moves:
            if script in self._uses[move.script]:
                yield f"tests/scripts/test_moves.py[{move}]", self._moves_as_said, move
        for scene in self._scenes:
            if script in self._uses[scene.script]:
                yield f"tests/scripts/test_moves.py[{scene}]", self._ends_as_said, scene

    def _half_moves(self, script: str) -> Iterator[Row]:
        """All of the script's own; of what scripts share, one for each script, for these take longer."""
        seen: Set[str] = set()
        for move in self._moves:
            is_first = script in self._uses[move.script] and move.script not in seen
            seen.add(move.script)
            if is_first or script == move.script:
                yield f"tests/scripts/test_half_moves.py[{move}]", self._moves_all_or_nothing, move

    def _moves_as_said(self, move: Move) -> None:
        test_moves.test_a_script_does_what_its_table_says(self._broker, self._redis, move)
        test_moves.assert_again(self._broker, self._redis, move)

    def _ends_as_said(self, scene: Move) -> None:
        test_moves.test_a_scene_ends_as_its_table_says(self._broker, self._redis, scene)

    def _moves_all_or_nothing(self, move: Move) -> None:
        test_half_moves.test_a_call_that_fails_has_changed_nothing(self.server.url, self._redis, move)

    def _fails(self, test: Callable[[Move], None], move: Move) -> bool:
        """Whether the row fails. One that ends the server is tried again, for the machine may have been too busy."""
        for _ in range(2):
            try:
                self._broker = Broker(self._connection)  # a broker keeps the scripts that it has loaded
                self._redis.flushall()
                test(move)
                return False
            except Exception as error:  # noqa: BLE001 - a mutant returns anything, and its callers fail on that
                if not isinstance(error, NO_REPLY) and self._answers():
                    return True
                self._restart()
        return True

    def _answers(self) -> bool:
        """Whether the server does not run a script for ever."""
        try:
            return bool(self._redis.ping())
        except NO_REPLY:
            return False

    def _restart(self) -> None:
        self._connection.drop()
        self._redis.close()
        self.server.kill()
        self.server.start()
        self._connect()

    def _connect(self) -> None:
        self._connection = Connection(self.server.url, timeout_s=self._timeout_s)
        self._redis = self.server.client(socket_timeout=self._timeout_s)

    def _load_from(self, folder: Path) -> None:
        scripts._FOLDER = folder
        scripts.load.cache_clear()


def meet_rows(mutants: Sequence[Mutant], processes: int, scratch: Path) -> Iterator[Tuple[Mutant, str, float]]:
    """Each mutant with the test and row that kill it, or "", and the seconds that this took, in no order.

    Raises:
        BaselineError: a row fails on the unchanged scripts.
    """
    reading, writing = os.pipe()
    pids: List[int] = []
    try:
        for number in range(min(processes, len(mutants))):
            share = range(number, len(mutants), processes)
            folder = scratch / f"rows-{number}"
            pids.append(fork(lambda share=share, folder=folder: _child(mutants, share, folder, writing)))  # type: ignore[misc]
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as reports:
            for line in reports:
                index, name, took_s = json.loads(line)
                if index == _BASELINE:
                    raise BaselineError(f"FAILED {name}")
                yield mutants[index], name, took_s
        while pids:
            if os.waitpid(pids.pop(), 0)[1]:
                raise RuntimeError("the rows were not tried on all mutants")
    finally:
        for pid in pids:
            kill(pid)


def _child(mutants: Sequence[Mutant], share: Iterable[int], folder: Path, writing: int) -> int:
    """Try the mutants at these positions. A report is short enough to reach the pipe as a whole."""
    shutil.copytree(LUA, folder)
    with Rows(folder) as rows:
        for script in sorted({mutants[index].script for index in share}):
            name = rows.failing(script)
            if name:
                _report(writing, _BASELINE, name, 0.0)
                return 0
        for index in share:
            started_s = time.monotonic()
            _report(writing, index, rows.killer(mutants[index]), time.monotonic() - started_s)
    return 0


def _report(writing: int, index: int, name: str, took_s: float) -> None:
    os.write(writing, f"{json.dumps([index, name, took_s])}\n".encode())
