import httpx

client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, text="ok")))


def handler(body):
    assert client.get("http://localhost/").text == "ok"
