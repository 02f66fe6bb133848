"""The peers in Python with our guarantee: at least once, with the ack after the handler.

If a library runs an event loop, its handler is a coroutine that does not wait: a plain function would have to run in a
thread. Concurrency is a multiple of what one handler needs, so that the library's round trips overlap.
"""

from __future__ import annotations

from bench.peers.peer import AT_LEAST_ONCE, Peer

AT_LEAST_ONCE_PEERS = (
    Peer(
        name="dramatiq",
        package="dramatiq",
        environment="dramatiq",
        guarantee=AT_LEAST_ONCE,
        settings="2 processes of 8 threads, its default for each process; no result backend",
        workers=[["{bin}/dramatiq", "dramatiq_app:broker", "--processes=2", "--threads=8", "--skip-logging"]],
        publisher=["{python}", "dramatiq_app.py"],
        left=[["HLEN", "dramatiq:bench.msgs"]],
        recovery="after a minute without a heartbeat of the whole worker",
        source="dramatiq.brokers.redis.RedisBroker, heartbeat_timeout=60000",
    ),
    Peer(
        name="ardiq",
        package="ardiq",
        environment="ardiq",
        guarantee=AT_LEAST_ONCE,
        settings="--workers 2, concurrency 100 (default 10: raised as handlers are short); results go after 1 s",
        workers=[["{bin}/ardiq", "run", "--quiet", "--workers=2", "ardiq_app:app"]],
        publisher=["{python}", "ardiq_app.py"],
        left=[["XPENDING", "ardiq:bench:queues:default", "workers"]],
        recovery="after its idle timeout, by XAUTOCLAIM",
        source="ArdiqCore.idle_timeout_ms",
        minimum=(3, 12),
    ),
    Peer(
        name="celery",
        package="celery",
        environment="celery",
        guarantee=AT_LEAST_ONCE,
        settings=(
            "prefork, acks_late and reject_on_worker_lost for the guarantee; results ignored, prefetch multiplier 64"
            " for short tasks, no gossip, mingle, heartbeat or events, as its guide to optimizing advises"
        ),
        workers=[
            ["{bin}/celery", "--app=celery_app", "worker", "--pool=prefork", "--concurrency=2", "--queues=bench",
             "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
        ],
        publisher=["{python}", "celery_app.py"],
        left=[["LLEN", "bench"], ["HLEN", "unacked"]],
        recovery="of a child of the pool at once; of the whole worker after the visibility timeout, an hour",
        source="kombu.transport.redis, visibility_timeout=3600; task_reject_on_worker_lost",
    ),
    Peer(
        name="saq",
        package="saq",
        environment="saq",
        guarantee=AT_LEAST_ONCE,
        settings="2 processes, concurrency 10 (default), hiredis; retries=2 for the guarantee; results not stored",
        workers=[["{bin}/saq", "saq_app.settings"]] * 2,
        publisher=["{python}", "saq_app.py"],
        left=[["LLEN", "saq:bench:queued"], ["LLEN", "saq:bench:active"]],
        recovery="by a sweep every 60 s, of jobs that are older than their timeout of 10 s",
        source="saq.worker.Worker, timers sweep=60; saq.job.Job, timeout=10",
    ),
    Peer(
        name="taskiq",
        package="taskiq-redis",
        environment="taskiq",
        guarantee=AT_LEAST_ONCE,
        settings="RedisStreamBroker, 2 processes, ack when executed, no result backend",
        workers=[["{bin}/taskiq", "worker", "taskiq_app:broker", "--workers=2", "--ack-type=when_executed",
                  "--log-level=WARNING"]],
        publisher=["{python}", "taskiq_app.py"],
        left=[["XPENDING", "bench", "taskiq"]],
        recovery="after ten minutes without an ack, by XAUTOCLAIM",
        source="taskiq_redis.RedisStreamBroker, idle_timeout=600000",
    ),
    Peer(
        name="streaq",
        package="streaq",
        environment="streaq",
        guarantee=AT_LEAST_ONCE,
        settings="--workers 2, concurrency 100 (default 16: raised as handlers are short); silent, results not stored",
        workers=[["{bin}/streaq", "run", "--workers=2", "streaq_app:worker"]],
        publisher=["{python}", "streaq_app.py"],
        left=[["XPENDING", "streaq:bench:queues:normal", "workers"]],
        recovery="after its idle timeout of a minute",
        source="streaq.Worker, idle_timeout=60",
        minimum=(3, 11),
    ),
    Peer(
        name="arq",
        package="arq",
        environment="arq",
        guarantee=AT_LEAST_ONCE,
        settings="2 processes, max_jobs 100 and poll_delay 10 ms (defaults 10 and 500 ms: it polls); keep_result 0",
        workers=[["{bin}/arq", "arq_app.WorkerSettings"]] * 2,
        publisher=["{python}", "arq_app.py"],
        left=[["ZCARD", "arq:queue"]],
        recovery="after job_timeout and 10 s, 310 s in all, when its mark of being in progress expires",
        source="arq.worker.Worker, in_progress_timeout_s",
    ),
    Peer(
        name="bullmq python",
        package="bullmq",
        environment="bullmq",
        guarantee=AT_LEAST_ONCE,
        settings="2 processes, concurrency 50 (default 1), removeOnComplete",
        workers=[["{python}", "bullmq_app.py", "work"]] * 2,
        publisher=["{python}", "bullmq_app.py"],
        left=[["LLEN", "bull:bench:wait"], ["LLEN", "bull:bench:active"]],
        recovery="once its lock of 30 s has expired, by a check every 30 s",
        source="bullmq.Worker, lockDuration=30000, stalledInterval=30000",
        minimum=(3, 10),
    ),
)  # fmt: skip
