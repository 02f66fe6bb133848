"""Tests of the pool and the `bizzmq` command as users run them; fault tests are in tests/faults."""
