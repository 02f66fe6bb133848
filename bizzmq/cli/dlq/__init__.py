"""`bizzmq dlq` and `bizzmq replay`: show, group, replay, edit, debug and delete dead letters."""
