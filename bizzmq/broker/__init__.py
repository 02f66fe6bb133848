"""The transitions of a queue: one method for each Lua script."""
