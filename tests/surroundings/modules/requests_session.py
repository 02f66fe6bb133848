import requests

session = requests.Session()
session.headers["User-Agent"] = "test"


def handler(body):
    assert session.prepare_request(requests.Request("GET", "http://localhost/")).url == "http://localhost/"
