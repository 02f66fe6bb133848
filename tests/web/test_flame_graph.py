"""The flame graph of a message: boxes whose widths are shares, bounded, and the page with it."""

from __future__ import annotations

from typing import Any

from redis import Redis

from bizzmq import BizzMQ
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.profile import Frame, KeptProfile, Profile
from bizzmq.web.flame_graph import flame_graph
from tests.web.site import Site, text_of

HOSTILE = '<script>alert(1)</script>"'


def kept(*counts: int, name: str = "leaf") -> KeptProfile:
    """A function that calls as many others as there are counts."""
    root = Frame("root", "tasks.py", 1)
    stacks = {(root, Frame(f"{name}{number}", "leaves.py", number)): count for number, count in enumerate(counts)}
    return KeptProfile(Profile(stacks, 0.05), 1, "w1", 12.5, 1_700_000_000.0)


def test_the_width_of_a_box_is_its_share_of_the_time() -> None:
    graph = flame_graph(kept(30, 70))

    assert graph is not None
    assert [(box.name, box.x, box.y, box.width) for box in graph.boxes] == [
        ("root", 0, 0, 100), ("leaf0", 0, 20, 30), ("leaf1", 30, 20, 70)
    ]  # fmt: skip
    assert (graph.height, graph.sampled_s, graph.functions[0].function) == (40, 5, "leaf1")
    assert flame_graph(None) is flame_graph(kept()) is None


def test_a_graph_is_bounded() -> None:
    deep = tuple(Frame(f"f{number}", "deep.py", number) for number in range(100))
    wide = kept(*[10] * 1000).profile.samples
    graph = flame_graph(kept()._replace(profile=Profile({**wide, deep: 5000}, 0.05)))

    assert graph is not None
    assert len(graph.boxes) <= 300
    assert graph.height <= 60 * 20


def test_the_page_of_a_message_shows_it(site: Site, failed: Any, mq: BizzMQ, redis: Redis) -> None:
    (message,) = failed(1)
    path = f"/queues/q/messages/{message}"
    assert "Flame graph" not in site.get(path).text
    redis.hset(QueueKeys("q").profiles, message, kept(*[1] * 250, name=HOSTILE).encode())

    page = site.get(path).text

    assert "Flame graph" in text_of(page)
    assert "<script>alert" not in page
    assert len(page) < 150_000
    redis.hset(QueueKeys("q").profiles, message, "forged")
    assert site.get(path).status_code == 200
