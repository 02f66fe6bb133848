"""The process that runs the handler, and the template that forks it."""
