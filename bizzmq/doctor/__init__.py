"""`bizzmq doctor`: checks of a server's configuration and of a user's permissions."""
