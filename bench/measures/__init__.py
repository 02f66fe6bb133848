"""The parts of a comparison: each module has `measure(scale)`, whose result is plain data, and `goals(result)`."""
