"""Twisted's reactor in a thread started at import, used in each message."""

import crochet

crochet.setup()

from twisted.internet import reactor, utils
from twisted.internet.task import deferLater


@crochet.wait_for(20)
def later(body):
    return deferLater(reactor, 0.01, lambda: body)


@crochet.wait_for(20)
def echo(body):
    return utils.getProcessOutput("/bin/echo", [str(body)])


def handler(body):
    assert later(body) == body
    assert echo(body) == f"{body}\n".encode()
