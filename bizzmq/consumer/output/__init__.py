"""The output of messages: which log records belong to which message."""
