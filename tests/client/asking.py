"""The two clients, asked in one way: what holds for one holds for the other."""

import asyncio
from collections.abc import Callable
from typing import Any

from keyledger_client import AsyncClient, Client, Question, Verification
from tests.waiting import SECONDS_MAX

TOKEN = "kl_operator_live_token"
SECRET = "kl_api_key_live_secret"

Ask = Callable[..., Verification]

# A verification takes milliseconds, and has two seconds where nothing is said. Here it matters what is answered, and a
# busy machine may take its time.
PATIENT: dict[str, Any] = {"timeout": SECONDS_MAX}


def by_thread(
    url: str, token: str = TOKEN, *, secret: str = SECRET, asked: dict[str, Any] | None = None, **how: Any
) -> Verification:
    """One question by `Client`."""
    with Client(url, token, **PATIENT | how) as client:
        return client.verify(secret, **(asked or {}))


def by_task(
    url: str, token: str = TOKEN, *, secret: str = SECRET, asked: dict[str, Any] | None = None, **how: Any
) -> Verification:
    """One question by `AsyncClient`."""

    async def run() -> Verification:
        async with AsyncClient(url, token, **PATIENT | how) as client:
            return await client.verify(secret, **(asked or {}))

    return asyncio.run(run())


def many_by_thread(url: str, token: str, questions: list[Question]) -> list[Verification]:
    """Several questions by `Client`."""
    with Client(url, token, **PATIENT) as client:
        return client.verify_many(questions)


def many_by_task(url: str, token: str, questions: list[Question]) -> list[Verification]:
    """Several questions by `AsyncClient`."""

    async def run() -> list[Verification]:
        async with AsyncClient(url, token, **PATIENT) as client:
            return await client.verify_many(questions)

    return asyncio.run(run())
