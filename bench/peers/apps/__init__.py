"""The programs that run in the environments of the peers: they need only the peer's library."""
