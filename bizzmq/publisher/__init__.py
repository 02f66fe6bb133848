"""Publishing: encode messages, number requests, send them, and wait for confirmations."""
