"""The key of a message: it travels with the message, and bad ones are refused before anything is published."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq import BizzMQ, ConfigurationError, MessageOptions


def test_a_key_is_shown_with_the_message(mq: BizzMQ) -> None:
    mq.create_queue("q")
    mq.publish_message_to_queue("q", 1, MessageOptions(key="tenant-7 \N{SNOWMAN}"))
    (found,) = mq.messages("q").messages

    assert found.as_dict()["key"] == "tenant-7 \N{SNOWMAN}"


@pytest.mark.parametrize("key", [7, None, b"k", "k" * 513, "\N{SNOWMAN}" * 171, "a\nb", "a\x00", "\x1b[31m"])
def test_a_bad_key_is_refused(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="key"):
        MessageOptions(key=key)
