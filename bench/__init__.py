"""What BizzMQ costs, measured on real pools. `python -m bench` lists the measurements."""
