"""Charts of the history of queues: what is drawn, and the same in words and in a table."""
