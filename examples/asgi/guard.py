"""Guards an ASGI application by scope, whatever its framework: what to copy into your own.

`Guard(application, keyledger, "customer:view")` is an application again: guard a whole one, or one route of it, such as
with Starlette's `Route(..., middleware=[Middleware(Guard, keyledger, "customer:view")])`.
"""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from keyledger_client import AsyncClient, KeyledgerError, Verification, presented, refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)


class Guard:
    """Lets through live credentials that have all these scopes; `scope["credential"]` then says whose."""

    def __init__(self, application: Application, keyledger: AsyncClient, *scopes: str) -> None:
        self._application = application
        self._keyledger = keyledger
        self._scopes = scopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on. A WebSocket is guarded as a request is: its opening holds the same headers."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        outcome = await self._ask(scope)
        refused = refusal(outcome, self._scopes)
        if refused is None:
            await self._application({**scope, "credential": outcome}, receive, send)
            return
        logger.info("refused %r: %s", scope["path"], outcome.code if isinstance(outcome, Verification) else outcome)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it was accepted, which the server makes a 403
            return
        headers = [(name.lower().encode(), value.encode()) for name, value in refused.headers.items()]
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": refused.body})

    async def _ask(self, scope: Scope) -> Verification | KeyledgerError | None:
        """The verdict on what the client presents, the error that came instead, or None for nothing presented.

        The address is that of the connection. Behind a proxy of yours the server must be told whom to believe, such as
        by uvicorn's `--forwarded-allow-ips`.
        """
        credential = presented(_header(scope, b"authorization"), _header(scope, b"x-api-key"))
        if credential is None:
            return None
        try:
            return await self._keyledger.verify(
                credential.secret,
                public_id=credential.public_id,
                client_ip=scope["client"][0] if scope.get("client") else None,
                mode="live",
                scopes=self._scopes,
            )
        except KeyledgerError as error:
            return error


def _header(scope: Scope, name: bytes) -> str | None:
    """A header's value; several are one list (RFC 9110 section 5.2), which is no credential."""
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(values) if values else None
