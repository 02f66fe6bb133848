"""The process that talks to Redis for the supervisor."""
