"""The queues of a consumer: their order, their options, and those that are set aside."""
