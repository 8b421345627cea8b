"""A timestamping authority (RFC 3161): `openssl ts` behind an HTTP server of the test's own."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509

from tests.programs import program

_CONFIG = """
[req]
distinguished_name = nothing
[nothing]
[tsa]
default_tsa = one
[one]
dir = {directory}
serial = $dir/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[signer]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
"""


@dataclass
class Authority:
    """An authority: its root certificate, and where it answers while it is served."""

    directory: Path
    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    answer: bytes | None = None
    """What it answers, where not with a timestamp."""

    @property
    def root(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.directory / "root.pem").read_bytes())

    def stamp(self, query: bytes) -> bytes:
        """The response to a question."""
        (self.directory / "query.tsq").write_bytes(query)
        how = ("-config", "tsa.cnf", "-section", "one", "-signer", "signer.pem", "-inkey", "signer.key")
        self.run("ts", "-reply", *how, "-queryfile", "query.tsq", "-out", "response.tsr")
        return (self.directory / "response.tsr").read_bytes()

    def run(self, *arguments: str) -> None:
        """Run openssl among the authority's files."""
        ran = subprocess.run([program("openssl"), *arguments], cwd=self.directory, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr


def authority(directory: Path) -> Authority:
    """An authority with a root certificate and one to stamp with."""
    directory.mkdir()
    (directory / "tsa.cnf").write_text(_CONFIG.format(directory=directory))
    (directory / "serial").write_text("01\n")
    made = Authority(directory)
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-config", "tsa.cnf")
    root = ("-x509", "-days", "10", "-subj", "/CN=root", "-extensions", "authority")
    made.run("req", *root, *new_key, "-keyout", "root.key", "-out", "root.pem")
    signer = ("-x509", "-days", "10", "-subj", "/CN=signer", "-extensions", "signer", "-CA", "root.pem")
    made.run("req", *signer, "-CAkey", "root.key", *new_key, "-keyout", "signer.key", "-out", "signer.pem")
    return made


@contextmanager
def serving(made: Authority) -> Iterator[Authority]:
    """The authority on a port of its own, at 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            made.asked.append(query)
            answer = made.stamp(query) if made.answer is None else made.answer
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/tsr"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
