"""trio's event loop in each message; it uses the wake-up descriptor for signals, and threads."""

import trio


async def work(body):
    answers = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, answers.append, body)
        nursery.start_soon(trio.sleep, 0.01)
    made = await trio.run_process(["echo", str(body)], capture_stdout=True)
    return answers, made.stdout


def handler(body):
    assert trio.run(work, body) == ([body], f"{body}\n".encode())
