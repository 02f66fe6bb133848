"""The fair method: one server, one barrier, one count for all arms."""
