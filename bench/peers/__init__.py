"""The arms of a comparison: BizzMQ and its peers."""

from __future__ import annotations

from typing import Mapping

from bench.peers.other_peers import OTHER_PEERS
from bench.peers.own import OWN_ARMS
from bench.peers.peer import Peer
from bench.peers.python_peers import AT_LEAST_ONCE_PEERS

ARMS: Mapping[str, Peer] = {peer.name: peer for peer in (*OWN_ARMS, *AT_LEAST_ONCE_PEERS, *OTHER_PEERS)}
QUICK = ("dramatiq", "ardiq", "taskiq", "saq", "celery", "bullmq node", "sidekiq")
"""The peers in a quick comparison: the fastest of each kind."""
