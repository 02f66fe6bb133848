"""`bizzmq demo`: a pool at work while one of its workers is killed."""
