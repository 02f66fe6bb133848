"""Utilities that know nothing about messages: clocks, logs, private files, standard streams, object pools."""
