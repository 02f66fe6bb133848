"""The security list: secrets, TLS, permissions, signatures, forged input, doors, files, and fuzzers."""
