"""A receiver of webhooks that a test runs: it keeps what it was sent and answers as it is told to."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.waiting import SECONDS_MAX


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and what the next answers are; 204 once those are used up."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, Mapping[str, str], bytes]] = field(default_factory=list)
    before_answering: Callable[[], None] = lambda: None

    def answer(self, *statuses: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """What the next requests are answered with."""
        self.answers += [(status, headers or {}, body) for status in statuses]

    def wait_for(self, number: int) -> list[Received]:
        """What came, once that is as much as this."""
        deadline = time.monotonic() + SECONDS_MAX
        while len(self.received) < number:
            assert time.monotonic() < deadline, f"{len(self.received)} messages came, not {number}"
            time.sleep(0.01)
        return self.received


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own, at 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # What it is answered is settled first: whoever sees that it came says what those after it are answered.
            status, headers, answer = receiver.answers.pop(0) if receiver.answers else (204, {}, b"")
            receiver.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            receiver.before_answering()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Nothing: tests look at what was received."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
