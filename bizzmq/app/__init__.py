"""Tasks: an app, its tasks, and what publishing one returns."""
