"""The connections of an event loop to Redis: sockets, one server or a group."""
