"""Handles on the child processes of the supervisor that are not workers."""
