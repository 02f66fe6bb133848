"""What tests of handlers and of BizzMQ itself share: real servers, real pools, real faults."""
