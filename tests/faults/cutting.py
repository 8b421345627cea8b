"""A proxy between a ledger and its PostgreSQL that cuts, halves or silences the connection at a chosen step."""

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Cut(Enum):
    """Where the connection that commits breaks, once."""

    LOOK_UNSENT = auto()
    LOOK_UNANSWERED = auto()
    WRITE_UNSENT = auto()
    WRITE_HALVED = auto()
    WRITE_AT_ONCE = auto()  # sent, and cut without waiting for what the server makes of it
    WRITE_UNANSWERED = auto()  # cut when the server has answered, so surely committed
    WRITE_SILENCED = auto()  # sent; the network then delivers nothing more, and nobody is told
    LOOK_SILENCED = auto()


class Proxy:
    """Relays bytes; `cut` is the step at which the next commit is to break, None for none."""

    def __init__(self, conninfo: str, directory: Path) -> None:
        given = conninfo_to_dict(conninfo)
        self._host, self._port = str(given.get("host") or "/tmp"), int(given.get("port") or 5432)
        self.cut: Cut | None = None
        self.cuts = 0
        self.conninfo = make_conninfo(conninfo, host=str(directory), port=5432, hostaddr=None, sslmode="disable")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / ".s.PGSQL.5432"))
        self._listener.listen(64)
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut everything."""
        for one in (self._listener, *self._sockets):
            _hang_up(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Relay(self, client, self._connect_on())

    def _connect_on(self) -> socket.socket:
        if self._host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            server = socket.create_connection((self._host, self._port))
        self._sockets.append(server)
        return server


class Relay:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._at_answer: Cut | None = None
        self._silent = False
        proxy._sockets.append(client)
        threading.Thread(target=self._to_server, daemon=True).start()
        threading.Thread(target=self._to_client, daemon=True).start()

    def _to_server(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(1 << 20):
                cut = self._proxy.cut
                step = "LOOK" if b"lock_head" in data else "WRITE" if b"move_head" in data else None
                if cut is not None and step is not None and cut.name.startswith(step):
                    self._proxy.cut = None
                    self._proxy.cuts += 1
                    if not self._break(cut, data):
                        return
                elif not self._silent:
                    self._server.sendall(data)
        if not self._silent:  # silence also hides that the client went away
            self._hang_up()

    def _break(self, cut: Cut, data: bytes) -> bool:
        """Break as asked; whether to go on reading."""
        if cut.name.endswith("ANSWERED"):
            self._at_answer = cut
        self._silent = cut.name.endswith("SILENCED")
        if cut is Cut.WRITE_HALVED:
            self._server.sendall(data[: len(data) // 2])
        elif not cut.name.endswith("UNSENT"):
            self._server.sendall(data)
        if self._at_answer or self._silent:
            return True
        self._hang_up()
        return False

    def _to_client(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(1 << 20):
                if self._at_answer is not None:
                    # The answer to the commit is the last: wait for the server to be idle again.
                    if self._at_answer is Cut.WRITE_UNANSWERED and not data.endswith(b"Z\0\0\0\x05I"):
                        continue
                    break
                if not self._silent:
                    self._client.sendall(data)
        self._hang_up()

    def _hang_up(self) -> None:
        _hang_up(self._client)
        _hang_up(self._server)


def _hang_up(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def proxied(conninfo: str) -> Iterator[Proxy]:
    """A proxy before this server, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="keyledger-cut-") as directory:
        proxy = Proxy(conninfo, Path(directory))
        try:
            yield proxy
        finally:
            proxy.close()
