"""A web form that starts a task, shows its states as they change, and then its result.

    pip install starlette uvicorn
    bizzmq-worker web_form:app               # one terminal
    uvicorn web_form:web                     # another one; then open http://127.0.0.1:8000

The page asks for events by its message's id, so it also works after a reload, and with any number of web servers.
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from bizzmq import App, BizzMQError, HandlerFailedError

app = App()
FORM = """<!doctype html><title>Primes</title>
<form method="post">
<label>How many primes are below <input name="limit" value="100000"></label> <button>Count</button>
</form>"""
PAGE = """<!doctype html><title>Primes</title><p id="state">published</p><script>
const events = new EventSource("/events" + location.pathname)
events.onmessage = (event) => { document.getElementById("state").textContent = JSON.parse(event.data).text }
events.addEventListener("end", () => events.close())
</script>"""


@app.task(queue="primes", max_retries=1, timeout_s=60, result_ttl_s=600)
def count_primes(limit: int) -> int:
    if limit > 2_000_000:
        raise ValueError("that would take too long")
    time.sleep(1.0)  # so that there is a state to see
    is_prime = bytearray([1]) * max(limit, 2)
    is_prime[:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = bytes(len(range(number * number, len(is_prime), number)))
    return sum(is_prime)


async def form(_request: Request) -> Response:
    return HTMLResponse(FORM)


async def start(request: Request) -> Response:
    text = parse_qs((await request.body()).decode()).get("limit", [""])[0]
    if not (text.isascii() and text.isdecimal()):
        return HTMLResponse(FORM + "<p>a whole number, please", status_code=400)
    handle = await count_primes.apublish(int(text))
    return RedirectResponse(f"/{handle.id}", status_code=303)


async def page(_request: Request) -> Response:
    return HTMLResponse(PAGE)


async def events(request: Request) -> Response:
    return StreamingResponse(states(request.path_params["id"]), media_type="text/event-stream")


async def states(message_id: str) -> AsyncIterator[str]:
    """The states of a message as server-sent events, the last one with its result."""
    handle = count_primes.handle(message_id)
    seen = ""
    while True:
        try:
            yield event(f"there are {await handle.aresult(timeout_s=0.5)}") + "event: end\ndata:\n\n"
            return
        except TimeoutError:
            state = (await handle.astatus()).state
            if state != seen:
                seen = state
                yield event(state)
        except HandlerFailedError as error:
            yield event(f"failed: {error.error}") + "event: end\ndata:\n\n"
            return
        except BizzMQError as error:  # an unknown id, an expired result, Redis is away
            yield event(str(error)) + "event: end\ndata:\n\n"
            return


def event(text: str) -> str:
    return f"data: {json.dumps({'text': text})}\n\n"


@asynccontextmanager
async def lifespan(_web: Starlette) -> AsyncIterator[None]:
    yield
    await app.aclose()


routes: Any = [
    Route("/", form),
    Route("/", start, methods=["POST"]),
    Route("/events/{id}", events),
    Route("/{id}", page),
]
web = Starlette(routes=routes, lifespan=lifespan)
