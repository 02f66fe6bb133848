"""`bizzmq queue`: create, change, show, list and delete queues."""
