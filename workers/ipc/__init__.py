"""What passes between the processes of a pool: channels, messages, shared memory."""
