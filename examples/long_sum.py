"""A long task that is killed on the way, and does nothing twice: its loop goes on from the last checkpoint.

bizzmq-worker long_sum:app               # one terminal
python long_sum.py 20000000 --kill 2     # another one: two workers are killed
"""

from __future__ import annotations

import argparse
import os
import random
import signal

from bizzmq import App, Context

app = App()
EVERY = 100_000


@app.task(name="sums.add_up", result_ttl_s=3600, max_retries=3)
def add_up(context: Context, count: int, kills: int = 0) -> int:
    """The sum of the numbers below `count`. The first `kills` deliveries end with SIGKILL, to show what that costs."""
    last = random.randrange(count // (kills + 1)) if context.delivery <= kills else -1
    loop = context.resume(range(count), every=EVERY, state=0)
    for number in loop:
        loop.state += number  # saved together with the position of the loop
        if number % EVERY == 0:
            context.progress(number, count, f"delivery {context.delivery}")
        if last == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        last -= 1
    return int(loop.state)


def main() -> None:
    parser = argparse.ArgumentParser(description="Add up numbers in a pool.")
    parser.add_argument("count", type=int, nargs="?", default=5_000_000)
    parser.add_argument("--kill", type=int, default=0, metavar="TIMES", help="at most 2: the third kill is the last")
    options = parser.parse_args()
    handle = add_up.publish(options.count, kills=options.kill)
    print(f"bizzmq watch {handle.id} shows how far it is")
    total = handle.result(timeout_s=600)
    print(f"{total} is {'right' if total == sum(range(options.count)) else 'wrong'}")


if __name__ == "__main__":
    main()
