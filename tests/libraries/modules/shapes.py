"""One handler in many shapes."""

import functools
import logging
import os

import click
import wrapt
from pydantic import validate_call


def write(body):
    with open(os.environ["SURROUNDINGS_OUT"], "a") as out:
        print(body, file=out)


def with_prefix(prefix, body):
    assert prefix == "p"
    write(body)


class Shop:
    def __init__(self):
        self.name = "shop"

    def sell(self, body):
        assert self.name == "shop"
        write(body)

    __call__ = sell

    @classmethod
    def of_class(cls, body):
        cls().sell(body)

    @staticmethod
    def static(body):
        write(body)

    async def later(self, body):
        self.sell(body)


@wrapt.decorator
def logged(wrapped, instance, args, kwargs):
    logging.getLogger("shop").debug("called")
    return wrapped(*args, **kwargs)


partial = functools.partial(with_prefix, "p")
bound = Shop().sell
bound_async = Shop().later
instance = Shop()
of_class = Shop.of_class
static = Shop.static


@logged
def wrapped(body):
    write(body)


@validate_call
def validated(body: int):
    write(body)


@functools.lru_cache
def cached(body):
    write(body)


@functools.singledispatch
def dispatched(body):
    raise AssertionError(type(body))


@dispatched.register
def _(body: int):
    write(body)


@click.command()
@click.argument("body")
def command(body):
    write(body)


def generated(body):
    write(body)
    yield


def check(lines, messages):
    assert len(lines) == messages, f"{len(lines)} of {messages} messages"
