"""The inspection of what an import has left: whether workers can be forked from the process that has imported."""
