"""deploy/nginx.conf in a real nginx, in front of a server that says what reached it."""

import json
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ledger.settings import Settings
from tests.ports import free_port
from tests.programs import program
from tests.running.doors import running
from tests.waiting import SECONDS_MAX, until

ROOT = Path(__file__).parents[2]


class _Echo(BaseHTTPRequestHandler):
    """Answers with the headers and the size of the body that it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = json.dumps({"headers": dict(self.headers), "bytes": len(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Request-Id", "the-request")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Front:
    """A running nginx: where it listens and where it logs."""

    port: int
    log: Path

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request; its status, headers and body."""
        context = ssl.create_default_context(cafile=str(self.log.parent / "secrets/tls_certificate"))
        connection = HTTPSConnection("localhost", self.port, context=context, timeout=SECONDS_MAX)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """nginx with our configuration; nothing but addresses and paths is changed."""
    directory = tmp_path_factory.mktemp("nginx")
    nginx, _ = program("nginx"), program("openssl")
    subprocess.run([ROOT / "deploy/make-secrets", directory / "secrets"], check=True, capture_output=True)
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port, log = free_port(), directory / "access.log"
    text = (ROOT / "deploy/nginx.conf").read_text()
    for ours, here in {
        " /tmp/": f" {directory}/",
        "listen 8443": f"listen 127.0.0.1:{port}",
        "server api:8080": f"server 127.0.0.1:{upstream.server_address[1]}",
        "/run/secrets": f"{directory}/secrets",
        "/dev/stdout": str(log),
        "/dev/stderr": str(directory / "error.log"),
        # As root nginx would give its workers to a user who cannot read here; in its container there is no root.
        "worker_processes auto;": "worker_processes 1; daemon off; master_process off;",
    }.items():
        assert ours in text
        text = text.replace(ours, here)
    configuration = directory / "nginx.conf"
    configuration.write_text(text)
    command = [nginx, "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(configuration)]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr
    try:
        with running(command, port):
            yield Front(port, log)
    finally:
        upstream.shutdown()
        upstream.server_close()


def test_what_a_client_says_of_its_address_is_replaced(front: Front) -> None:
    lies = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"}

    status, _, body = front.ask("GET", "/v1/organisations", headers=lies)

    reached = json.loads(body)["headers"]
    assert status == 200
    assert reached["X-Forwarded-For"] == "127.0.0.1"
    assert "Forwarded" not in reached
    assert reached["X-Forwarded-Proto"] == "https"
    assert reached["Host"] == f"localhost:{front.port}"


def test_what_a_gateway_says_of_its_client_goes_through(front: Front) -> None:
    _, _, body = front.ask("GET", "/v1/authorize", headers={"X-Gateway-Token": "t", "X-Real-IP": "203.0.113.7"})

    assert json.loads(body)["headers"]["X-Real-IP"] == "203.0.113.7"


def test_the_headers_of_the_api_go_through_in_both_directions(front: Front) -> None:
    mine = {"Authorization": "Bearer abc", "Idempotency-Key": "k1", "If-Match": '"3"', "X-Gateway-Token": "t"}

    _, answered, body = front.ask("POST", "/v1/verify", b"{}", mine)

    assert mine.items() <= json.loads(body)["headers"].items()
    assert answered["X-Request-Id"] == "the-request"
    assert "Strict-Transport-Security" in answered
    assert answered["Server"] == "nginx"


def test_the_largest_body_that_the_api_reads_passes_and_a_far_larger_one_does_not(front: Front) -> None:
    largest = Settings().body_bytes_max

    assert front.ask("POST", "/v1/verify", b"x" * largest)[0] == 200
    assert front.ask("POST", "/v1/verify", b"x" * (largest + 1))[0] == 200  # the API says it with a problem
    assert front.ask("POST", "/v1/verify", b"x" * (largest * 3))[0] == 413


def test_metrics_are_not_for_the_outside(front: Front) -> None:
    assert front.ask("GET", "/metrics")[0] == 404
    assert front.ask("GET", "/readyz")[0] == 200


def test_the_log_holds_no_query_no_header_and_no_body(front: Front) -> None:
    said = {"Authorization": "Bearer kl_in_header"}
    front.ask("POST", "/v1/only-here?q=nobody%40example.org", b"kl_in_body", said)

    # nginx logs a request after it has answered.
    (line,) = until(lambda: [line for line in front.log.read_text().splitlines() if "only-here" in line])

    logged = json.loads(line)
    assert (logged["path"], logged["request_id"]) == ("/v1/only-here", "the-request")
    assert not re.search(r"nobody|kl_in", front.log.read_text())
