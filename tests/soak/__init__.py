"""`python -m tests.soak`: an hour of random faults on one server, on Sentinel and on Cluster in turn."""
