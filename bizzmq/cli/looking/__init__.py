"""Commands that look at queues, messages and pools, and change nothing."""
