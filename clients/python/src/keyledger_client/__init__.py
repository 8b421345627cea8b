"""Ask Keyledger whether a credential that was presented to you is good.

    from keyledger_client import Client

    with Client("https://keyledger.example.com", token) as keyledger:
        if keyledger.verify(secret, client_ip="192.0.2.7", mode="live", scopes=["customer:view"]):
            ...

Every question gets a `Verification` or raises a `KeyledgerError`. The first is true only where the credential is good
for all that was asked, and the second means that there is no verdict: refuse.
"""

from keyledger_client.async_client import AsyncClient
from keyledger_client.client import Client
from keyledger_client.errors import (
    DeadlineExceeded,
    FieldError,
    InvalidQuestion,
    KeyledgerError,
    TokenRefused,
    TooManyAttempts,
    Unavailable,
    UnexpectedAnswer,
)
from keyledger_client.guarding import Presented, Refusal, presented, refusal
from keyledger_client.verification import QUESTIONS_MAX, Question, Verification

__all__ = [
    "QUESTIONS_MAX",
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "FieldError",
    "InvalidQuestion",
    "KeyledgerError",
    "Presented",
    "Question",
    "Refusal",
    "TokenRefused",
    "TooManyAttempts",
    "Unavailable",
    "UnexpectedAnswer",
    "Verification",
    "presented",
    "refusal",
]
