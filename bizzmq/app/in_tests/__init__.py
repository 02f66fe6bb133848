"""Apps in tests: messages that are run in the test itself, recorded, or watched."""
