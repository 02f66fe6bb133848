"""What the pool and the operator's command promise to whoever runs them; faults stand in tests/faults."""
