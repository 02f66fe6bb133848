"""A program started at import and queried in each message over its pipes."""

import subprocess

helper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def handler(body):
    helper.stdin.write(f"{body}\n")
    assert helper.stdout.readline() == f"{body}\n"
