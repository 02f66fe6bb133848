"""What is asked of a running pool: the stacks of its workers, and what operators ask through Redis."""
