"""Measurements of BizzMQ on real pools. `python -m bench` lists them."""
