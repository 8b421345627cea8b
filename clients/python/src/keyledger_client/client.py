"""The client for threads."""

import os
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

import httpcore

from keyledger_client import exchange
from keyledger_client.errors import KeyledgerError
from keyledger_client.exchange import Deadline, Failed, Terms
from keyledger_client.verification import Question, Verification


class Client:
    """Asks Keyledger about presented secrets, over connections that are kept and shared.

    One serves all threads of a process for as long as it lives. It may be made before a process forks: each process
    then opens connections of its own. Nothing is cached, so a credential that is revoked is refused at the next
    question.

    `url` is where Keyledger answers, over TLS wherever the network is not yours alone; `token` is that of an operator
    with the role `verifier`. A call takes no longer than `timeout` seconds, with all that it repeats; only the look-up
    of a host name, which no program can interrupt, may add to that. It is repeated up to `retries` times, where the
    connection failed or Keyledger cannot answer now. `ssl_context` is for an authority that the system does not know.

    Raises `ValueError` for a URL, token or bound that cannot be meant.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = exchange.TIMEOUT_SECONDS,
        retries: int = exchange.RETRIES,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._terms = Terms(url, token, timeout, retries)
        self._ssl_context = exchange.trusting(url, ssl_context)
        self._open()

    def __repr__(self) -> str:
        return f"Client({self._terms.url!r})"

    def verify(
        self,
        secret: str,
        *,
        public_id: str | None = None,
        client_ip: str | None = None,
        mode: str | None = None,
        channel: str | None = None,
        scopes: Sequence[str] = (),
        api: str | None = None,
    ) -> Verification:
        """The verdict on a secret, which is true where it is good for all that is asked. `Question` has the meaning of
        each; raises a `KeyledgerError` where there is none.
        """
        question = Question(
            secret=secret,
            public_id=public_id,
            client_ip=client_ip,
            mode=mode,
            channel=channel,
            scopes=scopes,
            api=api,
        )
        return exchange.verdict(self._ask("/v1/verify", exchange.one(question)))

    def verify_many(self, questions: Iterable[Question]) -> list[Verification]:
        """The verdicts on up to a hundred secrets, in the order of the questions; none for none.

        Where one question cannot be meant, all are refused; one of somebody who failed too often has the code
        `TOO_MANY_ATTEMPTS`. Passwords that people chose are asked about one at a time, by `verify`.
        """
        asked = list(questions)
        if not asked:
            return []
        return exchange.verdicts(self._ask("/v1/verify/batch", exchange.batch(asked)), len(asked))

    def close(self) -> None:
        """End the connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=exchange.CONNECTIONS_MAX,
            keepalive_expiry=exchange.IDLE_SECONDS_MAX,
            network_backend=_Backend(),
        )
        self._process = os.getpid()  # after the pool: another thread that sees it takes the pool

    def _ask(self, path: str, body: bytes) -> Mapping[str, Any]:
        if self._process != os.getpid():
            # A connection that two processes share would hand one of them the other's verdict.
            self._open()
        deadline = Deadline(self._terms.timeout_seconds)
        before = _deadline.set(deadline)
        try:
            attempt = 0
            while True:
                told = self._try(path, body, self._terms.timeouts(attempt, deadline))
                if not isinstance(told, Failed):
                    return told
                time.sleep(self._terms.pause(attempt, told, deadline))
                attempt += 1
        finally:
            _deadline.reset(before)

    def _try(self, path: str, body: bytes, timeouts: Mapping[str, float]) -> Mapping[str, Any] | Failed:
        received = exchange.Body()
        extensions = {"timeout": timeouts}
        url, headers = self._terms.address(path), self._terms.headers()
        try:
            with self._pool.stream("POST", url, headers=headers, content=body, extensions=extensions) as answer:
                for piece in answer.iter_stream():
                    received.add(piece)
        except exchange.BROKEN as error:
            return exchange.broken(error, self._terms.timeout_seconds)
        except KeyledgerError as error:
            return Failed(error)
        return exchange.read(answer.status, answer.headers, received)


# --- One deadline for all that a call waits for ----------------------------------------------------------------------

# httpcore bounds each wait for the network, not their sum: who sends a byte now and then would never be too late. So
# every wait of a call gets no more than what the call has left.
_deadline: ContextVar[Deadline] = ContextVar("keyledger_client_deadline")


def _at_most(timeout: float | None, exceeded: type[httpcore.TimeoutException]) -> float:
    remaining = _deadline.get().remaining()
    if remaining <= 0:
        raise exceeded
    return remaining if timeout is None else min(timeout, remaining)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _at_most(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _at_most(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _at_most(timeout, httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = _at_most(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))
