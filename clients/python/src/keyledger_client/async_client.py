"""The client for asyncio."""

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpcore

from keyledger_client import exchange
from keyledger_client.errors import KeyledgerError
from keyledger_client.exchange import Deadline, Failed, Terms
from keyledger_client.verification import Question, Verification


class AsyncClient:
    """As `Client`, for the tasks of one event loop: make it where that loop runs, once, and not before a fork."""

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
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=exchange.trusting(url, ssl_context),
            max_connections=exchange.CONNECTIONS_MAX,
            keepalive_expiry=exchange.IDLE_SECONDS_MAX,
        )

    def __repr__(self) -> str:
        return f"AsyncClient({self._terms.url!r})"

    async def verify(
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
        """As `Client.verify`."""
        question = Question(
            secret=secret,
            public_id=public_id,
            client_ip=client_ip,
            mode=mode,
            channel=channel,
            scopes=scopes,
            api=api,
        )
        return exchange.verdict(await self._ask("/v1/verify", exchange.one(question)))

    async def verify_many(self, questions: Iterable[Question]) -> list[Verification]:
        """As `Client.verify_many`."""
        asked = list(questions)
        if not asked:
            return []
        return exchange.verdicts(await self._ask("/v1/verify/batch", exchange.batch(asked)), len(asked))

    async def aclose(self) -> None:
        """End the connections."""
        await self._pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, path: str, body: bytes) -> Mapping[str, Any]:
        deadline = Deadline(self._terms.timeout_seconds)
        try:
            async with asyncio.timeout(self._terms.timeout_seconds):
                attempt = 0
                while True:
                    told = await self._try(path, body, self._terms.timeouts(attempt, deadline))
                    if not isinstance(told, Failed):
                        return told
                    await asyncio.sleep(self._terms.pause(attempt, told, deadline))
                    attempt += 1
        except TimeoutError:
            pass  # raised below, without the trace of whatever was waited for
        raise exchange.deadline_exceeded(self._terms.timeout_seconds)

    async def _try(self, path: str, body: bytes, timeouts: Mapping[str, float]) -> Mapping[str, Any] | Failed:
        received = exchange.Body()
        extensions = {"timeout": timeouts}
        url, headers = self._terms.address(path), self._terms.headers()
        try:
            async with self._pool.stream("POST", url, headers=headers, content=body, extensions=extensions) as answer:
                async for piece in answer.aiter_stream():
                    received.add(piece)
        except exchange.BROKEN as error:
            return exchange.broken(error, self._terms.timeout_seconds)
        except KeyledgerError as error:
            return Failed(error)
        return exchange.read(answer.status, answer.headers, received)
