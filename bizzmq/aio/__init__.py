"""The client for asyncio, on the event loop's own sockets."""
