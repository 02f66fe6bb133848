"""BizzMQ's own arms: two with default settings, which give the noise floor; one that claims one message at a time; one
without the extra `speed`, which the others use if it is installed. With tasks: one without results, and one with."""

from __future__ import annotations

from dataclasses import replace

from bench.peers.peer import AT_LEAST_ONCE, OWN, Peer

COMMAND = ("{python}", "-m", "bizzmq.workers", "--log-level=warning", "--redis-url={url}", "--queue=bench")
LEFT = (
    ("LLEN", "bizzmq:{bench}:waiting"),
    ("HLEN", "bizzmq:{bench}:messages"),
)
WHY = "acks after the handler, always; its ack travels with the next claim"


def arm(name: str, settings: str, *options: str, hidden: str = "", app: str = "bizzmq_app:handler") -> Peer:
    return Peer(
        name=name,
        package="bizzmq",
        environment="",
        guarantee=AT_LEAST_ONCE,
        settings=settings,
        workers=[[*COMMAND, "--concurrency=2", *options, app]],
        publisher=["{python}", f"{app.partition(':')[0]}.py"],
        left=LEFT,
        recovery="milliseconds: the supervisor sees its worker die (measured below)",
        source="docs/internals/performance.md",
        language=OWN,
        hidden=hidden,
    )


OWN_ARMS = (
    arm("bizzmq", f"default settings; {WHY}"),
    arm("bizzmq again", "the same, for the noise floor"),
    arm("bizzmq --prefetch 1", "claims one message at a time, with the ack of the last one", "--prefetch=1"),
    arm(
        "bizzmq, json",
        "default settings, without the extra `speed`: JSON by the standard library",
        hidden="standard_json",
    ),
)
PLAIN, AGAIN = OWN_ARMS[0].name, OWN_ARMS[1].name
TASK, RESULTS = "bizzmq task", "bizzmq task, results"
TASK_ARMS = (
    OWN_ARMS[0],
    OWN_ARMS[1],
    arm(TASK, "a task of an app, with two annotated arguments; no result", app="bizzmq_tasks:app"),
    replace(
        arm(RESULTS, "the same with result_ttl_s of an hour", app="bizzmq_tasks:app"),
        keeps_results=True,
    ),
)
