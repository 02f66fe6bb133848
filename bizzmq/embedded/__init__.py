"""`embedded://`: a Redis server of its own for development and tests."""
