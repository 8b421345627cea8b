"""A service of two operations, each for a scope of its own: `granian --interface asgi app:app`."""

import json
import os
from pathlib import Path

from guard import Application, Guard, Receive, Scope, Send
from keyledger_client import AsyncClient

keyledger = AsyncClient(
    os.environ["KEYLEDGER_URL"], Path(os.environ["KEYLEDGER_GATEWAY_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
)


async def list_customers(scope: Scope, _receive: Receive, send: Send) -> None:
    """Whoever may look."""
    await _answer(send, 200, {"customers": [], "asked_by": str(scope["credential"].credential_id)})


async def edit_customers(scope: Scope, _receive: Receive, send: Send) -> None:
    """Whoever may look and edit."""
    await _answer(send, 200, {"edited": True, "asked_by": str(scope["credential"].credential_id)})


async def health(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Everybody."""
    await _answer(send, 200, {"status": "ok"})


ROUTES: dict[tuple[str, str], Application] = {
    ("GET", "/customers"): Guard(list_customers, keyledger, "customer:view"),
    ("POST", "/customers/edit"): Guard(edit_customers, keyledger, "customer:view", "customer:edit"),
    ("GET", "/healthz"): health,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Each route to its own application; the client's connections end with the server."""
    if scope["type"] == "http":
        await ROUTES.get((scope["method"], scope["path"]), _nowhere)(scope, receive, send)
    elif scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await keyledger.aclose()
        await send({"type": "lifespan.shutdown.complete"})


async def _nowhere(_scope: Scope, _receive: Receive, send: Send) -> None:
    await _answer(send, 404, {"title": "There is nothing here", "status": 404})


async def _answer(send: Send, status: int, body: object) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
