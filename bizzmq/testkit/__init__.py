"""What the pytest plugin gives to a test: a server, the user's app on it, a worker in the test's process, a pool."""
