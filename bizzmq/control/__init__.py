"""What operators tell messages and queues: to end, to wait, to go on."""
