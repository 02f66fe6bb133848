"""Commands that look at messages and pools, and change nothing."""
