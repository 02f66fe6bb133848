"""Checks of values that users pass, and their errors."""
