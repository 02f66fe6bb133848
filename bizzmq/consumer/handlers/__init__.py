"""The handler: how it is imported and called, what it returns, and the functions around it."""
