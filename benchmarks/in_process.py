"""What answering takes of Python, without a server: the applications called as WSGI ones, in one thread.

A server adds the same to each of them, so no two of them can lie further apart over HTTP than they do here.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from typing import Any

from api.wsgi import build
from benchmarks.peers.hello import app as hello

CALLS = 20_000  # a second or two of each
ROUNDS = 3
WARMING_SECONDS = 3.0  # until the log is followed, and all that is asked for is in memory

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]


def answering(environment: Mapping[str, str], gateway: str, secrets: Sequence[str]) -> dict[str, float]:
    """Microseconds of a processor that an answer takes: Flask's hello, and ours from memory at both doors.

    In a process of its own, with these variables: a worker keeps what it began until it ends.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_answering, environment, gateway, secrets).result()


def _answering(environment: Mapping[str, str], gateway: str, secrets: Sequence[str]) -> dict[str, float]:
    os.environ.update(environment)
    ours = build()

    def verify(secret: str) -> tuple[Application, Environ]:
        body = b'{"secret":"%s"}' % secret.encode()
        about = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
        return ours, _asked("POST", "/v1/verify", body, HTTP_AUTHORIZATION=f"Bearer {gateway}", **about)

    def authorize(secret: str) -> tuple[Application, Environ]:
        return ours, _asked("GET", "/v1/authorize", HTTP_X_GATEWAY_TOKEN=gateway, HTTP_X_API_KEY=secret)

    doors: dict[str, Callable[[str], tuple[Application, Environ]]] = {
        "hello": lambda _: (hello, _asked("GET", "/")),
        "verify": verify,
        "authorize": authorize,
    }
    warm_at = time.monotonic() + WARMING_SECONDS
    while time.monotonic() < warm_at:
        for secret in secrets:
            _answer(*verify(secret))
    found: dict[str, list[float]] = {name: [] for name in doors}
    for _ in range(ROUNDS):
        for name, door in doors.items():
            requests = [door(secrets[number % len(secrets)]) for number in range(CALLS)]
            begun = time.thread_time()
            for application, environ in requests:
                _answer(application, environ)
            found[name].append((time.thread_time() - begun) / CALLS * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}


def _answer(application: Application, environ: Environ) -> None:
    application(environ, _no_more)


def _no_more(status: str, _headers: object) -> None:
    if status != "200 OK":
        raise RuntimeError(f"answered {status}")


def _asked(method: str, path: str, body: bytes = b"", **more: str) -> Environ:
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        **more,
    }
