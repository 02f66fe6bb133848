"""A program in a pseudo terminal for each message, which runs to its end."""

import pexpect


def handler(body):
    child = pexpect.spawn("sh", ["-c", "read line; echo got $line"], timeout=20, encoding="utf-8")
    child.sendline(str(body))
    child.expect(f"got {body}")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
