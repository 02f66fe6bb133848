"""Real libraries, set up as real modules do it, under a pool: the table in docs/surroundings.md."""
