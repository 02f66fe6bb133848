"""Scenes of results: what those who wait for them hear, how long they are kept, and what histories note of them."""

from __future__ import annotations

from typing import Any, Sequence

from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import KeptResult, success_text
from tests.scripts.beside import event
from tests.scripts.containers import Containers
from tests.scripts.moves import QUEUE, Call, Move, held, in_turn
from tests.scripts.table_leaving import NEW, dead_lettering
from tests.scripts.table_results import ERROR, done, finishing, kept

K = QueueKeys(QUEUE)
NOTED: Any = {"history": "1"}
BEFORE = held("m1", keeps=("m1",), extras={**NOTED, "m1": "{}"})
ENTERED = {"history": {"m1": (event("published"),)}}
LONGEST_SENT = 4096


def heard(call: Call, *ids: str) -> Call:
    """The result of a call, and what is sent during it, while somebody waits for the results of these ids.

    Another subscriber hears all channels by a pattern. It does not count as one who waits.
    """

    def listened(broker: Broker) -> Any:
        url = broker.connection.url
        with Redis.from_url(url, decode_responses=True) as redis, redis.pubsub() as waiter, redis.pubsub() as listener:
            for one in ids:
                waiter.subscribe(K.result(one))
                assert _next(waiter)["type"] == "subscribe"
            listener.psubscribe("*")
            assert _next(listener)["type"] == "psubscribe"
            before_ms = _clock_ms(redis)
            result = call(broker)
            times = range(before_ms - 2, _clock_ms(redis) + 3)
            redis.publish("the end", "")
            sent = list(iter(lambda: _sent(_next(listener), times), ("the end", "")))
        return result, sent

    return listened


def _next(subscriber: Any) -> Any:
    message = subscriber.get_message(timeout=10)
    assert message is not None
    return message


def _clock_ms(redis: Redis) -> int:
    seconds, microseconds = redis.time()
    return seconds * 1000 + microseconds // 1000


def _sent(message: Any, times: Sequence[int]) -> tuple[str, str]:
    """The id and the text of a notice. A failure's time is `now` if it is one of these, in ms."""
    channel, text = message["channel"], message["data"]
    line, _, value = text.partition("\n")
    *others, end = line.split("\t")
    if end.isdigit() and int(end) in times:
        text = "\t".join([*others, "now"]) + "\n" + value
    return channel.rpartition(":")[2], text


def success(message_id: str) -> str:
    return kept(message_id)[message_id].text.decode()


def failure(state: str, record: str = ERROR) -> str:
    return f"{state}\t\t\tnow\n{record}"


def discarding(broker: Broker) -> bool:
    return broker.discard(QUEUE, "w1", "m1", NEW, ERROR.encode())


def requeueing_finished(broker: Broker) -> int:
    return broker.requeue(QUEUE, "w1", DeadWorker("stopped", last_finished="m2", results=kept("m1", "m2"))).acked


def finishing_long(size: int) -> tuple[Call, str]:
    """A call that acks m1 with a result whose text has this many bytes, and the text."""
    short = success_text(b'""', 3, 1000, 2000)
    text = success_text(b'"%s"' % (b"x" * (size - len(short))), 3, 1000, 2000)
    return lambda broker: broker.finish(QUEUE, "w1", [b"m1"], {b"m1": KeptResult(b"60000", text)}), text.decode()


def long(size: int, *, is_sent: bool) -> Move:
    call, text = finishing_long(size)
    value = text.partition("\n")[2]
    return Move("finish", f"sends {'' if is_sent else 'no text of '}a result of {size} bytes",
                held("m1", keeps=("m1",)), heard(call, "m1"), (1, [("m1", text if is_sent else "")]),
                held(stats={"acked": 1}, results={"m1": f"succeeded {value} 3 1000 2000"}))  # fmt: skip


ALL_DONE = held(stats={"acked": 3}, results={one: done(one) for one in ("m1", "m2", "m3")})
HEARD = [
    *(
        Move("finish", f"sends results to those who wait for {' and '.join(ids) or 'others'}",
             held("m1", "m2", "m3", keeps=("m1", "m2", "m3")),
             heard(finishing("m1", "m2", "m3", results=("m1", "m2", "m3")), *(ids or ("m9",))),
             (3, [(one, success(one)) for one in ids]), ALL_DONE)
        for ids in ((), ("m1",), ("m2",), ("m1", "m3"), ("m1", "m2", "m3"))
    ),
    Move("finish", "sends the only result", held("m1", keeps=("m1",)), heard(finishing("m1", results=("m1",)), "m1"),
         (1, [("m1", success("m1"))]), held(stats={"acked": 1}, results={"m1": done("m1")})),
    long(LONGEST_SENT, is_sent=True),
    long(LONGEST_SENT + 1, is_sent=False),
    Move("requeue", "sends the results of a dead worker", held("m1", "m2", keeps=("m1", "m2")),
         heard(requeueing_finished, "m1", "m2"), (2, [(one, success(one)) for one in ("m2", "m1")]),
         Containers(supervisors={"s1": "7"}, stats={"acked": 2}, results={one: done(one) for one in ("m1", "m2")})),
    Move("dead_letter", "sends the failure", held("m1", keeps=("m1",)), heard(dead_lettering(), "m1"),
         (True, [("m1", failure("dead_lettered"))]),
         held(stats={"dead_lettered": 1}, results={"m1": f"dead_lettered {ERROR}"}),
         after_dead=Containers(waiting=("m1",), wake=True, keeps=("m1",))),
    Move("discard", "sends the failure", held("m1", keeps=("m1",)), heard(discarding, "m1"),
         (True, [("m1", failure("discarded"))]), held(stats={"discarded": 1}, results={"m1": f"discarded {ERROR}"})),
    Move("discard", "sends nothing if no result is kept", held("m1"), heard(discarding, "m1"), (True, []),
         held(stats={"discarded": 1})),
]  # fmt: skip


def life_of_result(broker: Broker) -> str:
    """How long the result of m1 is still kept. It is removed, so that it does not expire while a row is compared."""
    left_ms = broker.connection.execute("PTTL", K.result("m1"))
    broker.connection.execute("DEL", K.result("m1"))
    return "none" if left_ms == -2 else "up to a second" if 0 < left_ms <= 1000 else f"{left_ms} ms"


def keeping(sentence: str, header: str, life: str) -> Move:
    return Move("discard", f"keeps the failure {sentence}", held("m1"), in_turn(discarding, life_of_result),
                [True, life], held(stats={"discarded": 1}),
                beside={"envelopes": {"m1": f'{header}\n"body of m1"'}})  # fmt: skip


KEPT = [
    keeping("for a second", '1\t{"result_ttl_s":1}', "up to a second"),
    keeping("for no time", '1\t{"result_ttl_s":0}', "none"),
    keeping("not if its body says so", '1\t{}\n"result_ttl_s":60', "none"),
    Move("discard", "keeps no failure of an id without an envelope", held("m1", forged=("m1",)),
         in_turn(discarding, life_of_result), [True, "none"], held(stats={"discarded": 1})),
]  # fmt: skip
IN_HISTORY = [
    Move("discard", "keeps the history with the failure", BEFORE, discarding, True,
         held(stats={"discarded": 1}, extras=NOTED, results={"m1": f"discarded {ERROR}"}), beside=ENTERED,
         beside_after={"ended": {"m1": (event("published"), event("discarded", why="Error: e"))}}),
    Move("dead_letter", "keeps the history with the dead letter", BEFORE, dead_lettering(), True,
         held(stats={"dead_lettered": 1}, extras=NOTED, results={"m1": f"dead_lettered {ERROR}"}), beside=ENTERED,
         beside_after={"history": {"m1": (event("published"), event("dead_lettered", why="Error: e"))}},
         after_dead=Containers(waiting=("m1",), wake=True, keeps=("m1",))),
]  # fmt: skip
ROWS = [*HEARD, *KEPT, *IN_HISTORY]
