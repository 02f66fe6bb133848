"""The threads of a consumer in the program's own process."""
