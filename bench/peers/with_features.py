"""The arms whose messages use one feature: of BizzMQ every feature, of peers those that they have."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Mapping, Tuple

from bench.peers.other_peers import OTHER_PEERS
from bench.peers.own import arm
from bench.peers.peer import Peer
from bench.peers.python_peers import AT_LEAST_ONCE_PEERS

_KEY = "bench", base64.b64encode(bytes(range(32))).decode()
_KEYS: Mapping[str, Tuple[Tuple[str, str], ...]] = {
    "encrypted": (("BENCH_ENCRYPTION_KEY", _KEY[1]), ("BIZZMQ_ENCRYPTION_KEYS", ":".join(_KEY)))
}
PLAIN, AGAIN, UNIQUE, PROGRESS = "plain", "plain again", "unique key", "result and progress"
LARGE, COMPRESSED = "plain, 4 kB", "compressed, 4 kB"
_OWN = (
    (PLAIN, "", "no feature"),
    (AGAIN, "", "the same, for the noise floor"),
    ("key", "key", "key"),
    (UNIQUE, "unique", "unique_key, another one for each message"),
    ("unique key, until started", "started", "the same with unique_until"),
    ("unique key, published twice", "twice", "unique_key, each key published twice; figures for each that was handled"),
    ("throttle", "throttled", "unique_key and unique_for_s"),
    ("debounce, published twice", "debounced", "unique_key, on_duplicate replace and delay_s 0.01; as above"),
    ("expiry", "expiry", "expires_s"),
    ("queue length", "length", "max_length of the queue"),
    ("progress", "progress", "context.progress once; the latest is stored twice a second"),
    ("checkpoint", "checkpoint", "context.checkpoint once, of a few bytes"),
    ("history", "history", "history of the queue"),
    ("output", "output", "context.log once; it is kept with a failure"),
    ("result", "result", "result_ttl_s of an hour, 100 bytes"),
    (PROGRESS, "result, progress", "both"),
    (LARGE, "large", "no feature, a body of 4 kB"),
    (COMPRESSED, "compressed", "compress_above_bytes, the same body"),
    ("encrypted", "encrypted", "encryption_keys"),
)


def _own(name: str, feature: str, settings: str) -> Peer:
    found = arm(name, settings, app="bizzmq_features:handler")
    return replace(found, feature=feature, keeps_results=feature.startswith("result"), variables=_KEYS.get(feature, ()))


OWN_FEATURES: Mapping[str, Peer] = {name: _own(name, feature, settings) for name, feature, settings in _OWN}
_PEERS = {peer.name: peer for peer in (*AT_LEAST_ONCE_PEERS, *OTHER_PEERS)}


def _peer(name: str, feature: str, how: str, named: str = "") -> Peer:
    peer = _PEERS[name]
    does = f"as {name}, but with {how}"
    return replace(peer, name=named or f"{name}, {feature}", settings=does, feature=feature)


UNIQUE_PEERS: Tuple[Peer, ...] = (
    _peer("bullmq node", "unique", "a jobId, another one for each job"),
    _peer("bullmq node", "deduplicated", "deduplication by an id, until it is completed"),
    _peer("rq simple", "unique", "job_id and unique=True; it has no bulk call for these"),
    _peer("saq", "unique", "a key"),
)
_KEPT = "of 100 bytes, kept for an hour"
PROGRESS_PEERS: Tuple[Peer, ...] = tuple(
    replace(peer, keeps_results=True)
    for peer in (
        _peer("bullmq node", "progress", f"updateProgress once, and a result {_KEPT}"),
        _peer("rq simple", "progress", f"meta saved once, and a result {_KEPT}"),
        _peer("saq", "progress", f"Job.update once, and a result {_KEPT}"),
    )
)
FEATURE_PEERS: Mapping[str, Peer] = {peer.name: peer for peer in (*UNIQUE_PEERS, *PROGRESS_PEERS)}
BASES: Mapping[str, str] = {name: LARGE if name == COMPRESSED else PLAIN for name in OWN_FEATURES}
"""What each arm of ours is compared with: the same message without the feature."""
