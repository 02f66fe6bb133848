"""Whether workers may be forked from the process that has imported the handler: what the import left is looked at."""
