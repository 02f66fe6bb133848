"""Results: wait for them, and read what has become of a message."""
