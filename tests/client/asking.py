"""The two clients, asked in one way: what holds for one holds for the other."""

import asyncio
from collections.abc import Callable
from typing import Any

from keyledger_client import AsyncClient, Client, Question, Verification

TOKEN = "kl_operator_live_token"
SECRET = "kl_api_key_live_secret"

Ask = Callable[..., Verification]


def by_thread(
    url: str, token: str = TOKEN, *, secret: str = SECRET, asked: dict[str, Any] | None = None, **how: Any
) -> Verification:
    """One question by `Client`."""
    with Client(url, token, **how) as client:
        return client.verify(secret, **(asked or {}))


def by_task(
    url: str, token: str = TOKEN, *, secret: str = SECRET, asked: dict[str, Any] | None = None, **how: Any
) -> Verification:
    """One question by `AsyncClient`."""

    async def run() -> Verification:
        async with AsyncClient(url, token, **how) as client:
            return await client.verify(secret, **(asked or {}))

    return asyncio.run(run())


def many_by_thread(url: str, token: str, questions: list[Question]) -> list[Verification]:
    """Several questions by `Client`."""
    with Client(url, token) as client:
        return client.verify_many(questions)


def many_by_task(url: str, token: str, questions: list[Question]) -> list[Verification]:
    """Several questions by `AsyncClient`."""

    async def run() -> list[Verification]:
        async with AsyncClient(url, token) as client:
            return await client.verify_many(questions)

    return asyncio.run(run())
