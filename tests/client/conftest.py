"""What tests of the client start from: a running Keyledger, and a server that misbehaves as it is told."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.client.misbehaving import Misbehaving
from tests.running.conftest import installation

__all__ = ["installation", "server"]


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    """A server on a port of its own."""
    with ExitStack() as stack:
        running = Misbehaving()
        stack.callback(running.close)
        yield running
