"""An invalid id is kept as a dead letter and is never confused with another message."""

from __future__ import annotations

import signal

from redis import Redis

from bizzmq import QueueOptions
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

K = Keys(QUEUE)


def forge(redis: Redis, message_id: bytes, envelope: bytes = b'1\n{"do":"ok"}') -> None:
    command(redis, "HSET", K.messages, message_id, envelope)
    command(redis, "LPUSH", K.waiting, message_id)


def test_forged_ids_with_the_start_of_others_ack_and_blame_no_other_message(scene: Scene) -> None:
    pool = scene.pool("--max-crashes=1", concurrency=1, queue=["idle", QUEUE], ready=False)
    pool.wait_ready()
    blocked = scene.publish_one({"do": "sleep", "sleep_s": 1.0})
    scene.ledger.wait_started(blocked)

    warm = scene.publish(*[{"do": "ok"}] * 200)  # claims grow
    victims = scene.publish(*[{"do": "ok"}] * 5)
    for tail in (b"x", b"\0", b"0" * 10_000):
        for victim in victims:
            forge(scene.redis, victim.encode() + tail)
            forge(scene.redis, victim.encode()[:-1])
    killer = scene.publish_one({"do": "kill_self"})
    last = scene.publish(*[{"do": "ok"}] * 20)

    scene.ledger.wait_handled(*warm, *victims, *last, timeout_s=PATIENCE_S)
    eventually(lambda: scene.totals().get("dead_lettered", 0) >= 21, PATIENCE_S, pool.log)
    assert not scene.ledger.runs_of(killer)[0].succeeded
    letters = command(scene.redis, "HKEYS", Keys(f"{QUEUE}_dlq").messages)
    assert killer in letters
    assert not set(letters) & {*warm, *victims, *last}, "others were blamed"
    handled = len({blocked, *warm, *victims, *last})
    eventually(lambda: scene.totals()["acked"] >= handled, PATIENCE_S, pool.log)  # acks follow the ledger's lines
    assert scene.totals()["acked"] == handled, "others were acked"


def test_an_undecodable_message_leaves_no_id_in_the_record(scene: Scene) -> None:
    scene.mq.create_queue("other", QueueOptions())
    pool = scene.pool(concurrency=1)
    victim = scene.publish_one({"do": "ok"}, delay_s=60)
    for forged in (victim.encode() + b"x", b"", b"\xff" * 20, b"x" * 1_000_000, b"\xc3\xa9" * 10):
        forge(scene.redis, forged, b"no envelope")

    scene.ledger.wait_handled(scene.publish_one({"do": "ok"}), timeout_s=PATIENCE_S)
    eventually(lambda: not command(scene.redis, "LLEN", K.waiting), PATIENCE_S, pool.log)
    assert len(pool.log()) < 100_000, "a line is as long as an id"
    assert pool.worker_pids() == pool.started_worker_pids()
    assert command(scene.redis, "HEXISTS", K.messages, victim)


def test_a_handled_id_that_is_stored_again_acks_no_other_message(scene: Scene) -> None:
    """A worker dies while it runs the first message of a claim whose last one has the id that it finished before."""
    pool = scene.pool(concurrency=1)

    # The size of a claim depends on the speed of the handlers: on a busy machine one may not have all messages.
    assert any(_dies_before_a_forged_id(scene, pool) for _ in range(20))


def _dies_before_a_forged_id(scene: Scene, pool: Pool) -> bool:
    """Whether the worker died with all of them claimed. In any case all are handled and acked once."""
    scene.ledger.wait_handled(*scene.publish(*[{"do": "ok"}] * 300), timeout_s=PATIENCE_S)  # claims grow
    last = scene.publish_one({"do": "ok"})
    scene.ledger.wait_handled(last, timeout_s=PATIENCE_S)
    eventually(lambda: not command(scene.redis, "EXISTS", K.messages), PATIENCE_S, pool.log)
    pool.signal(signal.SIGTSTP)
    eventually(lambda: pool.log().count("claiming is paused") > pool.log().count("claiming goes on"), PATIENCE_S)
    before = scene.totals()

    killer = scene.publish_one({"do": "kill_self", "times": 1})
    victims = scene.publish(*[{"do": "ok"}] * 5)
    forge(scene.redis, last.encode())
    pool.signal(signal.SIGCONT)

    scene.ledger.wait_handled(killer, *victims, timeout_s=PATIENCE_S)
    eventually(lambda: scene.totals()["acked"] == before["acked"] + 7, PATIENCE_S, lambda: str(scene.totals()))
    return scene.totals()["requeued"] - before.get("requeued", 0) >= len(victims)


def test_an_envelope_that_no_client_writes_is_refused_without_decoding(scene: Scene) -> None:
    """Decoding it would take longer than any limit, because limits start with the handler."""
    pool = scene.pool("--timeout=5", "--kill-memory=200", concurrency=1)
    janitor = pool.janitor_pid()
    nested = b"1\n[" + b"[]," * 6_000_000 + b"0]"
    forge(scene.redis, b"0" * 13 + b"ABCDEFG", nested)
    forge(scene.redis, b"1" * 13 + b"ABCDEFG", b'1\t{"timeout_s":0.2}\n"' + b"x" * 3_000_000 + b'"')

    scene.ledger.wait_handled(scene.publish_one({"do": "ok"}), timeout_s=PATIENCE_S)
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 2, PATIENCE_S, pool.log)
    log_says(pool, "an envelope of 18000005 bytes; at most 2097152 are allowed")  # logged once it is stored
    assert pool.worker_pids() == pool.started_worker_pids()
    assert pool.janitor_pid() == janitor
