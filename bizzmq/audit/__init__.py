"""`bizzmq audit`: finds damage in a queue and repairs it."""
