"""Programs for working on the project. They are not installed."""
