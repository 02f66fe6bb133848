"""What runs in the peers' own environments: needs nothing but the peer's library."""
