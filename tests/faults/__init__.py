"""Tests of the fault matrix: real pools, servers and faults, checked with the ledger and the invariants G1 to G8."""
