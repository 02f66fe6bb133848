"""Outcomes of messages, kept in files while Redis is away."""
