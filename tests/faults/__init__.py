"""Rows of the fault matrix: real pools, real servers, real faults, judged by the ledger and G1 to G8."""
