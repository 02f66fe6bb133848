"""The Python peers with their result backends: a result of 100 bytes, kept for an hour.

How their publisher waits for a result is the way that their documentation shows. Where it polls, it polls every
millisecond, which is shorter than the default.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping

from bench.peers.other_peers import OTHER_PEERS
from bench.peers.peer import Peer
from bench.peers.python_peers import AT_LEAST_ONCE_PEERS

SUFFIX = ", results"
WAYS = {
    "celery": "result backend Redis; AsyncResult.get, which waits on a subscription",
    "dramatiq": "Results with RedisBackend; get_result by a blocking pop",
    "taskiq": "RedisAsyncResultBackend; wait_result, which asks every 1 ms (default 200 ms)",
    "saq": "ttl of an hour; Job.refresh until it is complete, by a subscription",
    "streaq": "ttl of an hour, silent; Task.result, by a subscription",
    "ardiq": "result_ttl_ms of an hour; Job.result with a timeout",
    "rq simple": "result_ttl of an hour; latest_result with a timeout, by a blocking read of a stream",
    "huey": "RedisExpireHuey with notify_result; get by a blocking pop",
}
"""How each peer keeps results, and how its publisher waits for one."""


def _with_results(peer: Peer) -> Peer:
    settings = f"as {peer.name}, but with results: {WAYS[peer.name]}"
    return replace(peer, name=peer.name + SUFFIX, settings=settings, keeps_results=True)


TASK_PEERS: Mapping[str, Peer] = {peer.name: peer for peer in (*AT_LEAST_ONCE_PEERS, *OTHER_PEERS) if peer.name in WAYS}
"""The peers that are compared with tasks, without results."""
RESULT_PEERS: Mapping[str, Peer] = {name: _with_results(peer) for name, peer in TASK_PEERS.items()}
"""The same peers with results, by the name of the peer."""
