"""All nodes of a cluster as one connection."""
