"""BizzMQ's own arms: twice with default settings, which gives the noise floor; claiming one message at a time; without
the extra `speed`, which the others have if it is installed."""

from __future__ import annotations

from bench.peers.peer import AT_LEAST_ONCE, OWN, Peer

COMMAND = ("{python}", "-m", "bizzmq.workers", "--log-level=warning", "--redis-url={url}", "--queue=bench")
LEFT = (
    ("LLEN", "bizzmq:{bench}:waiting"),
    ("HLEN", "bizzmq:{bench}:messages"),
)
WHY = "acks after the handler, always; its ack travels with the next claim"


def arm(name: str, settings: str, *options: str, hidden: str = "") -> Peer:
    return Peer(
        name=name,
        package="bizzmq",
        environment="",
        guarantee=AT_LEAST_ONCE,
        settings=settings,
        workers=[[*COMMAND, "--concurrency=2", *options, "bizzmq_app:handler"]],
        publisher=["{python}", "bizzmq_app.py"],
        left=LEFT,
        recovery="milliseconds: the supervisor sees its worker die (measured below)",
        source="docs/performance.md",
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
