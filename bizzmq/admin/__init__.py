"""Operations on queues as a whole: counts, dead letters, purge."""
