"""The peers with a weaker guarantee or in another language. They are never compared in a headline."""

from __future__ import annotations

from bench.peers.peer import AT_LEAST_ONCE, AT_MOST_ONCE, NODE, RUBY, Peer

RQ_LEFT = [["LLEN", "rq:queue:bench"], ["ZCARD", "rq:wip:bench"]]
RQ_FATE = "none by default: the job is marked as failed, and run again only if it was published with a Retry"
OTHER_PEERS = (
    Peer(
        name="rq fork",
        package="rq",
        environment="rq",
        guarantee=AT_MOST_ONCE,
        settings="2 workers that fork for each job (its default), JSON serializer, result_ttl 0",
        workers=[["{python}", "rq_app.py", "fork"]] * 2,
        publisher=["{python}", "rq_app.py"],
        left=RQ_LEFT,
        recovery=RQ_FATE,
        source="rq.registry.StartedJobRegistry.cleanup, AbandonedJobError",
    ),
    Peer(
        name="rq simple",
        package="rq",
        environment="rq",
        guarantee=AT_MOST_ONCE,
        settings="2 SimpleWorkers, which do not fork; JSON serializer, result_ttl 0",
        workers=[["{python}", "rq_app.py", "simple"]] * 2,
        publisher=["{python}", "rq_app.py"],
        left=RQ_LEFT,
        recovery=RQ_FATE,
        source="rq.registry.StartedJobRegistry.cleanup, AbandonedJobError",
    ),
    Peer(
        name="huey",
        package="huey",
        environment="huey",
        guarantee=AT_MOST_ONCE,
        settings="2 worker processes, blocking pop, results not stored, no periodic tasks",
        workers=[["{bin}/huey_consumer", "huey_app.huey", "--worker-type=process", "--workers=2",
                  "--no-periodic", "--quiet"]],
        publisher=["{python}", "-c", "import huey_app; huey_app.publish()"],
        left=[["LLEN", "huey.redis.bench"]],
        recovery="none: the message has left Redis when its handler begins",
        source="huey.storage.RedisStorage.dequeue",
    ),
    Peer(
        name="bullmq node",
        package="bullmq",
        environment="bullmq-node",
        guarantee=AT_LEAST_ONCE,
        settings="2 processes, concurrency 50 (default 1), removeOnComplete",
        workers=[["node", "bullmq.js", "work"]] * 2,
        publisher=["node", "bullmq.js", "publish"],
        left=[["LLEN", "bull:bench:wait"], ["LLEN", "bull:bench:active"]],
        recovery="once its lock of 30 s has expired, by a check every 30 s",
        source="BullMQ, WorkerOptions lockDuration=30000, stalledInterval=30000",
        language=NODE,
    ),
    Peer(
        name="sidekiq",
        package="sidekiq",
        environment="ruby",
        guarantee=AT_MOST_ONCE,
        settings="2 processes of 10 threads (its default), no retries, logging of warnings only",
        workers=[["sidekiq", "-r", "./sidekiq_app.rb", "-q", "bench", "-c", "10", "-e", "production"]] * 2,
        publisher=["ruby", "sidekiq_app.rb"],
        left=[["LLEN", "queue:bench"]],
        recovery="none: the message has left Redis when its handler begins (super_fetch is not free)",
        source="Sidekiq::BasicFetch, acknowledge does nothing",
        language=RUBY,
    ),
)  # fmt: skip
