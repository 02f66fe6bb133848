"""What changes while a page is open: one poller of a process, and events for all browsers."""
