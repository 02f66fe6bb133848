"""Messages lost in a crash of Redis: `python -m bench.durability`, or `python bench/durability.py`.

For each persistence setting a server is killed (SIGKILL) while one publisher sends single messages as fast as it can.
Then it is started again, or its replica takes over. A message is lost if its publish had returned. The window is the
time from the earliest lost publish to the kill. The loss of a whole machine cannot be simulated here: it would lose
what is not on the disk yet, so the time until the disk has a message is measured with WAITAOF.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bizzmq import BizzMQ, BizzMQError, MessageOptions
from bizzmq.testing.faults import RedisServer, eventually

QUEUE = "bench"
BODY = "x" * 200
SETTINGS: dict[str, dict[str, object]] = {
    "no persistence": {"persistence": "none"},
    "snapshots, save 1 1": {"persistence": "none", "config": ("save 1 1",)},
    "aof, everysec": {"persistence": "aof", "fsync": "everysec"},
    "aof, always": {"persistence": "aof", "fsync": "always"},
}
WAITS = {"aof, everysec": "aof", "aof, always": "aof"}
REPLICATED = {"a replica, no confirm": "", "a replica, replicas:1": "replicas:1"}
NEVER_LOSES = ("aof, always", "a replica, replicas:1")


@dataclass
class Loss:
    """One crash. `window_s` is None if nothing was lost."""

    confirmed: int
    lost: int
    window_s: float | None


class Publisher:
    """Publishes in a thread until it is stopped; `sent` has each id and the time when its publish returned."""

    def __init__(self, url: str, options: MessageOptions) -> None:
        self.sent: list[tuple[str, float]] = []
        self._url, self._options = url, options
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with BizzMQ(self._url) as mq:
            while not self._stop.is_set():
                try:
                    message_id = mq.publish_message_to_queue(QUEUE, BODY, self._options)
                except BizzMQError:
                    return  # the server was killed: later publishes are not counted
                self.sent.append((message_id, time.monotonic()))


def crash(victim: RedisServer, heir: RedisServer, options: MessageOptions, after_s: float) -> Loss:
    """Kill the victim under load and count what its successor, which may be the same server, has afterwards."""
    publisher = Publisher(victim.url, options)
    time.sleep(after_s)
    killed_s = time.monotonic()
    victim.kill()
    publisher.stop()
    if heir is victim:
        heir.start()
    stored = set(heir.client().hkeys(f"bizzmq:{{{QUEUE}}}:messages"))
    confirmed = [(message_id, at_s) for message_id, at_s in publisher.sent if at_s < killed_s]
    missing = [at_s for message_id, at_s in confirmed if message_id not in stored]
    return Loss(len(confirmed), len(missing), killed_s - missing[0] if missing else None)


def restarts(name: str, crashes: int, rng: random.Random) -> list[Loss]:
    """Kill `crashes` fresh servers of one kind, one after the other."""
    losses = []
    for _ in range(crashes):
        with ready(RedisServer(**SETTINGS[name])) as server:  # type: ignore[arg-type]
            losses.append(crash(server, server, MessageOptions(), rng.uniform(1.2, 2.5)))
    return losses


def takeovers(confirm: str, crashes: int, rng: random.Random) -> list[Loss]:
    """Kill `crashes` masters, each replaced by its replica."""
    losses = []
    for _ in range(crashes):
        with replicated() as (master, replica):
            losses.append(crash(master, replica, MessageOptions(confirm=confirm), rng.uniform(0.5, 1.0)))
    return losses


def waits_s(server: RedisServer, confirm: str, count: int, rng: random.Random) -> list[float]:
    """Seconds until the disk or a replica has a published message, at random moments of a second."""
    took_s = []
    with BizzMQ(server.url) as mq:
        for _ in range(count):
            time.sleep(rng.uniform(0.0, 0.2))
            begin_s = time.monotonic()
            mq.publish_message_to_queue(QUEUE, BODY, MessageOptions(confirm=confirm))
            took_s.append(time.monotonic() - begin_s)
    return took_s


@contextlib.contextmanager
def ready(server: RedisServer) -> Iterator[RedisServer]:
    """A server with the queue; closed afterwards."""
    with contextlib.closing(server):
        with BizzMQ(server.url) as mq:
            mq.create_queue(QUEUE)
        yield server


@contextlib.contextmanager
def replicated() -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and a replica that has caught up."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(ready(RedisServer(config=["repl-diskless-sync-delay 0"])))
        replica = RedisServer(config=[f"replicaof {master.host} {master.port}"])
        stack.callback(replica.close)
        eventually(lambda: is_up(replica), 20.0, "the replica to have caught up")
        yield master, replica


def is_up(replica: RedisServer) -> bool:
    """Whether the replica follows its master and has loaded its data."""
    return bool(replica.client().info("replication")["master_link_status"] == "up")


def row(name: str, fate: str, losses: Sequence[Loss]) -> dict[str, object]:
    """The figures of several crashes."""
    windows_ms = [1000 * loss.window_s for loss in losses if loss.window_s is not None]
    return {
        "setting": name,
        "fault": fate,
        "crashes": len(losses),
        "confirmed": sum(loss.confirmed for loss in losses),
        "lost": sum(loss.lost for loss in losses),
        "window_max_ms": round(max(windows_ms, default=0.0), 1),
    }


@click.command()
@click.option("--crashes", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--waits", type=click.IntRange(min=2), default=50, show_default=True)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path))
def main(crashes: int, waits: int, json_path: Path | None) -> None:
    """Confirmed messages that are lost in a crash of Redis, by persistence setting."""
    rng = random.Random(1)
    rows = [row(name, "server killed, started again", restarts(name, crashes, rng)) for name in SETTINGS]
    for name, confirm in REPLICATED.items():
        rows.append(row(name, "master killed, replica takes over", takeovers(confirm, crashes, rng)))
    lines = [[str(value) for value in each.values()] for each in rows]
    took = {}
    for name, confirm in WAITS.items():
        with ready(RedisServer(**SETTINGS[name])) as server:  # type: ignore[arg-type]
            took[f"{name}: until it is on disk"] = waits_s(server, confirm, waits, rng)
    with replicated() as (master, _replica):
        took["until a replica has it"] = waits_s(master, "replicas:1", waits, rng)
    facts: dict[str, object] = {"crashes": crashes, "waits": waits}
    with contextlib.closing(RedisServer()) as server:
        info = server.client().info("server")
        facts["server"] = info.get("valkey_version") or info["redis_version"]
    waited: dict[str, dict[str, float]] = {}
    results = {
        "benchmark": "durability",
        "conditions": facts,
        "balance": {"rows": len(rows)},
        "rows": rows,
        "waits": waited,
    }
    for what, seconds in took.items():
        middle_ms, most_ms = 1000 * statistics.median(seconds), 1000 * max(seconds)
        waited[what] = {"p50_ms": round(middle_ms, 2), "max_ms": round(most_ms, 2)}
        click.echo(f"{what}: p50 {middle_ms:.1f} ms, max {most_ms:.1f} ms, n {len(seconds)}")
    report.publish(results, list(rows[0]), lines, json_path)
    broken = [each["setting"] for each in rows if each["lost"] and each["setting"] in NEVER_LOSES]
    if broken:
        raise click.ClickException(f"confirmed messages are lost: {broken}")


if __name__ == "__main__":
    main()
