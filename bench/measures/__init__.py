"""The measurements of a comparison. Each module has `measure(scale)`, whose result is plain data, and `goals(result)`."""
