"""The harness of the fault tests: real servers and processes, a faulty network, a ledger outside Redis."""
