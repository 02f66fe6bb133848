"""`bizzmq demo --torture`."""
