"""The test suite. Run pytest from the project's root."""
