"""Pages of the ids in a list or a sorted set that changes while it is read."""
