"""`python -m bench walks`: how many files, packages and calls a reader meets on the way of a message and of a pool.

A profile hook counts the calls of BizzMQ's functions on six walks, against a private server: distinct files and
packages, calls, calls from one file or package into another, and the Lua files that Redis runs. The loops of a pool
turn as often as the machine lets them, so in its processes each function counts once for each file that calls it.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

import click

from bench.call_log import Call, Walk, log_this_process, logged, once, package, read
from bench.fair.lab import Lab, lab
from bench.fair.raw import broker_of
from bench.guard import timeless
from bench.pool import Pool, started, wait_until
from bizzmq import BizzMQ, QueueOptions
from bizzmq.broker import scripts
from bizzmq.consumer.consumer import Consumer
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.options import ConsumerOptions
from bizzmq.protocol import ids
from bizzmq.utils.stop_event import StopEvent

QUEUE, MANY, REPEATS = "bench", 1200, 3
BODY = {"n": 1, "text": "x" * 100}
ROLES = ("supervisor", "janitor", "template", "worker")
ROLES_OF = {"a pool boots": ROLES, "a worker dies": ("supervisor", "janitor")}
RUNS = "BENCH_RUNS"
"""The environment variable with the path of the file that `blocking` appends to."""


class Result(NamedTuple):
    """The calls of one walk, and the Lua files that Redis has run on it; None if those were not counted."""

    calls: list[Call]
    lua: set[str] | None = None


@contextmanager
def consumer(on: Lab, handler: Callable[..., Any]) -> Iterator[Consumer]:
    """A worker's loop, after it has run enough messages to claim several at once."""
    broker, supervisor, stop = broker_of(on.url), ids.supervisor_id(), StopEvent()
    worker = ids.worker_id(supervisor, 0)
    broker.register(QUEUE, supervisor, worker)
    loop = Consumer(broker, worker, [QUEUE], Handler(handler), stop, ConsumerOptions(burst=True))
    loop.run()
    yield loop
    broker.unregister(QUEUE, supervisor)
    stop.close()
    broker.connection.drop()


def of_messages(on: Lab) -> Iterator[tuple[str, Result]]:
    """The walks of messages, with open connections, known scripts and known options of the queue."""
    with BizzMQ(on.url) as mq:
        mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True, retry_backoff_s=0))

        def publish(count: int) -> Any:
            if count == 1:
                return mq.publish_message_to_queue(QUEUE, BODY)
            return mq.publish_messages_to_queue(QUEUE, [BODY] * count)

        publish(1)
        yield "publish one message", _walk(on, lambda: publish(1))
        yield f"publish {MANY:,} messages", _walk(on, lambda: publish(MANY))
        with consumer(on, _succeed) as loop:
            yield (
                "claim, run and ack three messages",
                _walk(on, lambda: (loop.tick(), loop.tick()), before=lambda: publish(3)),
            )
        publish(1)
        with consumer(on, _fail_once()) as loop:
            yield (
                "a message fails, is retried and acked",
                _walk(on, lambda: (loop.tick(), loop.tick(), loop.tick()), before=lambda: publish(1)),
            )


def _walk(on: Lab, action: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> Result:
    """Walk once for the calls, and once more for the scripts."""
    before()
    calls = logged(action)
    before()
    on.redis.script_flush()
    action()
    return Result(calls, _lua_files(on))


def _succeed(_body: Any) -> None:
    return


def _fail_once() -> Callable[[Any], None]:
    """A handler whose every other attempt fails."""
    attempts: list[Any] = []

    def fail_once(body: Any) -> None:
        attempts.append(body)
        if len(attempts) % 2:
            raise ValueError("the first attempt fails")

    return fail_once


def _lua_files(on: Lab) -> set[str]:
    """The scripts that the server has run since it has forgotten all of them, and the files that they include."""
    loaded = [scripts.load(name) for name in scripts.names()]
    ran = [one for one, known in zip(loaded, on.redis.script_exists(*(one.digest for one in loaded))) if known]
    return {name for one in ran for name in (one.name, *one.includes)}


def blocking(_body: Any) -> None:
    """Record the pid. The first run of all goes on until its worker is killed."""
    path = Path(os.environ[RUNS])
    with path.open("a", encoding="ascii") as runs:
        runs.write(f"{os.getpid()}\n")
    if len(_runs(path)) == 1:
        time.sleep(60.0)


def _runs(path: Path) -> list[int]:
    return [int(line) for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []


def of_a_pool(on: Lab) -> dict[str, Result]:
    """The walks of a pool with two workers, by process.

    Its boot ends when both workers are idle. The death of a worker that runs a message ends when the message has run
    again and another worker has taken the place of the dead one.
    """
    on.empty()
    with BizzMQ(on.url) as mq, tempfile.TemporaryDirectory(prefix="bizzmq-bench-") as name:
        runs = Path(name) / "runs"
        mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True))
        with started(["-m", "bench.walks", on.url, name], **{RUNS: str(runs)}) as pool:
            wait_until(lambda: _idle_workers(on) == 2, "the pool to boot", pool, 0.001)
            booted_s = time.monotonic()
            mq.publish_message_to_queue(QUEUE, BODY)
            wait_until(lambda: len(_runs(runs)) == 1, "a worker to run the message", pool)
            killed_s = time.monotonic()
            os.kill(_runs(runs)[0], signal.SIGKILL)
            wait_until(lambda: len(_runs(runs)) == 2 and _idle_workers(on) == 2, "the pool to recover", pool, 0.001)
            recovered_s = time.monotonic()
            _stop(pool)
        walks = {"a pool boots": (0.0, booted_s), "a worker dies": (killed_s, recovered_s)}
        found: dict[str, Result] = {}
        for calls in read(Path(name)):
            role = _role_of(calls)
            for walk, (begin_s, end_s) in walks.items():
                made = once(call for call in calls if begin_s <= call.at_s <= end_s)
                if made and role in ROLES_OF[walk]:  # the worker that replaces the dead one is not there at the boot
                    found[f"{walk}: {role}"] = Result(made)
    return found


def _idle_workers(on: Lab) -> int:
    return int(on.redis.info("clients")["blocked_clients"])


def _stop(pool: Pool) -> None:
    if pool.stop() != 0:
        raise click.ClickException("the pool has not drained")


def _role_of(calls: list[Call]) -> str:
    """The role of a process: the module of its `main`, or for the supervisor of its `run`; "" between two forks."""
    entries = (Path(call.file).stem for call in calls if call.name in ("main", "run"))
    return next((role for role in entries if role in ROLES), "")


def run_pool(url: str, folder: str) -> None:
    """Run a pool whose processes log their calls, until SIGTERM."""
    import bizzmq.workers.supervisor.supervisor  # noqa: F401, PLC0415 - before the log begins
    from bizzmq.workers import Supervisor, WorkerConfig  # noqa: PLC0415

    log_this_process(Path(folder))
    config = WorkerConfig(handler="bench.walks:blocking", queues=[QUEUE], concurrency=2, redis_url=url, control="off")
    os._exit(Supervisor(config).run())


def measure(repeats: int = REPEATS) -> dict[str, Result]:
    """All walks. Of those of a pool, the shortest of some repeats, which no heartbeat has lengthened."""
    with lab() as on:
        on.empty()
        with timeless():
            found = dict(of_messages(on))
        pools = [of_a_pool(on) for _ in range(repeats)]
    for name in sorted({name for pool in pools for name in pool}, key=_order):
        found[name] = min((pool[name] for pool in pools if name in pool), key=lambda result: len(result.calls))
    return found


def _order(name: str) -> tuple[bool, int]:
    walk, _, role = name.partition(": ")
    return walk != "a pool boots", ROLES.index(role)


@click.command()
@click.option("--files", is_flag=True, help="List the files of each walk in the order in which they are met.")
def main(files: bool) -> None:
    """Count the files, packages and calls that a reader meets on the way of a message and of a pool."""
    walks = measure()
    width = max(map(len, walks))
    click.echo(f"{'walk':{width}}  files  packages  calls  between files  between packages  Lua files")
    for name, result in walks.items():
        walk = Walk.of(result.calls)
        lua = "-" if result.lua is None else len(result.lua)
        click.echo(
            f"{name:{width}}  {walk.files:5}  {walk.packages:8}  {walk.calls:5,}  {walk.file_crossings:13,}  "
            f"{walk.package_crossings:16,}  {lua:>9}"
        )
        if files:
            for file in dict.fromkeys(call.file for call in result.calls):
                click.echo(f"    {package(file)}  {Path(file).name}")


if __name__ == "__main__":
    run_pool(sys.argv[1], sys.argv[2])
