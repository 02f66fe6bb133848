"""A session with a connection opened at import."""

import os

import requests

session = requests.Session()
session.get(os.environ["LIBRARIES_SERVICE"]).raise_for_status()


def handler(body):
    assert session.get(f"{os.environ['LIBRARIES_SERVICE']}/{body}", timeout=20).text == f"/{body}"
