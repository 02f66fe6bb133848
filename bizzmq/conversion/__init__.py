"""The conversion of values to JSON and back, by annotations."""
