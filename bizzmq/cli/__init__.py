"""The command `bizzmq`, with a module for each subcommand."""
