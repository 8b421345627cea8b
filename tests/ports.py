"""Ports for programs that must be told where to listen."""

import os
import socket
from contextlib import suppress
from itertools import count

# A port that the system chose and took back may be anybody's before the program listens: another worker's, or that of
# any connection that goes out. So these lie below those that the system chooses from (from 32768 on Linux, from 49152
# elsewhere), and processes that run tests at the same time begin far from one another.
_FIRST, _NUMBER = 12_000, 20_000
_ports = (_FIRST + (os.getpid() * 997 + number) % _NUMBER for number in count())


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, another one at each call."""
    while True:
        port = next(_ports)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
