"""The consumer's loop: claim, run the handler, settle."""
