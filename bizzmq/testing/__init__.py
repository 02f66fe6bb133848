"""Real servers, real pools and real faults for tests of handlers and of BizzMQ itself."""
