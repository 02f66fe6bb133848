"""Processes that a handler starts in the usual ways can be ended by it, and start with the usual signal settings."""

from __future__ import annotations

import pytest

from tests.preload.test_pools import Home, home

__all__ = ["home"]

WAYS = {
    "Process.terminate": "child = multiprocessing.Process(target=time.sleep, args=(600,))\n"
    "    child.start(); child.terminate(); child.join()\n    say(child.exitcode == -signal.SIGTERM)\n",
    "Pool": "with multiprocessing.Pool(2) as pool:\n        found = pool.map(abs, [-1, -2])\n"
    "        pool.apply_async(time.sleep, (600,))\n    say(found == [1, 2])\n",
    "a broken ProcessPoolExecutor": "with futures.ProcessPoolExecutor(2) as pool:\n"
    "        broken, slow = pool.submit(os._exit, 1), pool.submit(time.sleep, 600)\n"
    "        say(isinstance(broken.exception(), futures.process.BrokenProcessPool))\n",
    "SIGINT": "child = subprocess.Popen(['sleep', '600'])\n"
    "    child.send_signal(signal.SIGINT)\n    say(child.wait() == -signal.SIGINT)\n",
    "SIGTERM to a group": "child = subprocess.Popen(['sh', '-c', 'sleep 600 & wait'], start_new_session=True)\n"
    "    os.killpg(child.pid, signal.SIGTERM)\n    say(child.wait() == -signal.SIGTERM)\n",
}
IMPORTS = "import multiprocessing, os, signal, subprocess, sys, time\nfrom concurrent import futures\n"


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_children_end_when_their_handler_ends_them(home: Home, preload: str) -> None:
    """Each way fails its message if it takes as long as a drain may take."""
    cases = "".join(f"def way_{number}():\n    {code}" for number, code in enumerate(WAYS.values()))
    home.write(IMPORTS + cases + "def handler(number):\n    globals()[f'way_{number}']()\n")
    home.mq.publish_messages_to_queue("q", list(range(len(WAYS))))
    pool = home.pool("--timeout=25", "--burst", f"--preload={preload}", ready=False)

    assert pool.wait(60.0) == 0

    assert home.lines() == ["True"] * len(WAYS), pool.log()
    assert home.mq.stats("q").acked == len(WAYS)
