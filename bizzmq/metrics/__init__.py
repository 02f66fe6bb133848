"""What pools measure: counts and latencies by queue and task, in shared memory, in Redis and for Prometheus."""
