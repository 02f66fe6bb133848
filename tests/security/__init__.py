"""Security tests: secrets, TLS, permissions, signatures, forged input, listening sockets, files, fuzzing."""
