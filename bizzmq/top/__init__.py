"""`bizzmq top`: queues, pools, running messages and failures in the terminal, live. Needs the extra `top`."""
