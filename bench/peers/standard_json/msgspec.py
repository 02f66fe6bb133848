"""Stands before msgspec on the path of the arm that goes by the standard library's JSON."""

raise ImportError("this arm does without msgspec")
