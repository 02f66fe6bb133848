"""The format of everything stored in Redis: keys, ids, states, envelopes, attempts, signatures, JSON."""
