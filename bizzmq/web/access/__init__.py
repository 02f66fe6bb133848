"""Who may look and act: roles, signing in, sessions, and checks of requests."""
