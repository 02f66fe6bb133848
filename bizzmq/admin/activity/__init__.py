"""What happens on queues now: the pools that serve them, the age of what waits, and rates."""
