"""Schedules: messages that are published again and again, by cron line or at an interval."""
