"""Asks Keyledger whether what a client presented is good: what the servers beside this file have in common.

`KEYLEDGER_URL` is the API's address, and `KEYLEDGER_GATEWAY_TOKEN_FILE` a file that holds nothing but the token of an
operator with the role `verifier`. `KEYLEDGER_MODE` is `live` where it is not set, or `test`.
"""

import json
import os
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# The API waits for its database no longer than this before it says that it cannot answer.
SECONDS_MAX = 10
# What is longer was never issued, and a client's nonsense must not look like an outage.
LOGIN_CHARS_MAX = 200
SECRET_CHARS_MAX = 1_024


class Unanswered(Exception):
    """Keyledger did not say whether it is good. Refuse: without an answer nobody gets in."""


def verify(login: str, secret: str, channel: str, client_ip: str) -> dict[str, Any]:
    """The answer of `POST /v1/verify`: with `valid` and `code`, and where the secret was right, whose it is.

    A credential without a channel, like an API key for HTTP, is not one for this one. Raises `Unanswered`.
    """
    if not (_is_text(login, LOGIN_CHARS_MAX) and _is_text(secret, SECRET_CHARS_MAX)):
        return {"valid": False, "code": "MALFORMED", "credential_id": None}
    url = urlsplit(os.environ["KEYLEDGER_URL"])
    token = Path(os.environ["KEYLEDGER_GATEWAY_TOKEN_FILE"]).read_text().strip()
    mode = os.environ.get("KEYLEDGER_MODE", "live")
    question = {"public_id": login, "secret": secret, "channel": channel, "mode": mode, "client_ip": client_ip}
    asked = json.dumps(question)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connect = HTTPSConnection if url.scheme == "https" else HTTPConnection
    try:
        with closing(connect(url.netloc, timeout=SECONDS_MAX)) as connection:
            connection.request("POST", "/v1/verify", asked, headers)
            response = connection.getresponse()
            body = response.read()
        if response.status != 200:
            raise Unanswered(f"Keyledger answered {response.status}")
        answer: dict[str, Any] = json.loads(body)
        if answer["valid"] and answer["channel"] != channel:
            answer |= {"valid": False, "code": "WRONG_CHANNEL"}
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise Unanswered("Keyledger did not answer") from error
    return answer


def _is_text(presented: str, chars_max: int) -> bool:
    """Whether it can be asked about: bytes that are no text arrive as halves of surrogate pairs (PEP 383)."""
    return 0 < len(presented) <= chars_max and not any("\ud800" <= char <= "\udfff" for char in presented)
