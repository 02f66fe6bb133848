"""`/metrics`: what Redis says of all queues, for Prometheus."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bizzmq.admin.queue_row import QueueRow
from bizzmq.errors import BizzMQError
from bizzmq.metrics.prometheus import MISSING, MeasuredQueue, is_available, render_queues
from bizzmq.web.access.roles import Role
from bizzmq.web.site import Site

_EVENTS = (
    "published", "acked", "retried", "requeued", "discarded", "replayed", "cancelled", "expired", "dropped", "purged",
)  # fmt: skip


def metrics_routes(site: Site) -> list[Route]:
    """The route."""

    async def metrics(request: Request) -> Response:
        await site.access(request, Role.LOOK)
        if not is_available():
            return PlainTextResponse(MISSING, 501)
        try:
            snapshot = await site.snapshots.recent(is_live=True)
        except BizzMQError as error:
            return PlainTextResponse(f"Redis cannot be read: {error}", 503)
        queues = {row.queue: measured(row) for row in snapshot.rows if row.stats is not None}
        body, kind = render_queues(queues, request.headers.get("accept", ""))
        return Response(body, media_type=kind)

    return [Route("/metrics", metrics)]


def measured(row: QueueRow) -> MeasuredQueue:
    """What Prometheus gets to know of a queue."""
    stats = row.stats
    assert stats is not None
    messages = {
        "waiting": stats.waiting, "delayed": stats.delayed, "processing": stats.processing,
        "dead_lettered": stats.dead_lettered,
    }  # fmt: skip
    totals = {name: getattr(stats, name) for name in _EVENTS}
    return MeasuredQueue(messages, row.oldest_s or 0.0, {**totals, "dead_lettered": stats.dead_lettered_total})
