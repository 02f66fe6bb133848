"""Alerts: what is wrong on queues, sent once when it begins and once when it is over."""
