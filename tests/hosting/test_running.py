"""Serving an application in a thread."""

from __future__ import annotations

import pytest

from talkinghead.errors import OptionError
from talkinghead.hosting.running import listening_socket


def test_of_a_port_that_is_taken_another_is_proposed() -> None:
    with listening_socket("127.0.0.1", 0, "The page") as first:
        port = first.getsockname()[1]
        with pytest.raises(OptionError, match=f"The page cannot be served at 127.0.0.1:{port}") as raised:
            listening_socket("127.0.0.1", port, "The page")
    assert raised.value.remedy is not None
    assert f"(--port {port})" not in raised.value.remedy
