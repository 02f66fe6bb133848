"""A program that is slower than the time limit: the second attempt starts after the first program has ended."""

import fcntl
import os
import subprocess


def handler(body):
    if body % 30:
        subprocess.run(_ffmpeg(0.1), check=True)
        return
    with open(f"{os.environ['SURROUNDINGS_OUT']}.{body}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held while one of its programs is alive
            note = "alone"
        except OSError:
            note = "two at once"
        with open(os.environ["SURROUNDINGS_OUT"], "a") as out:
            print(note, file=out)
        subprocess.Popen(_ffmpeg(60, "-re"), pass_fds=[lock.fileno()]).wait()


def _ffmpeg(seconds, *args):
    source = f"testsrc=duration={seconds}:size=64x64:rate=10"
    return ["ffmpeg", "-v", "error", "-nostdin", *args, "-f", "lavfi", "-i", source, "-f", "null", "-"]


def check(lines, messages):
    assert lines == ["alone"] * (messages // 30 * 2), lines
