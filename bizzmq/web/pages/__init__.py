"""The pages: each is a function that reads what it shows."""
