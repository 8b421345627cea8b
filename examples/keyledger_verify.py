"""Asks Keyledger whether what a client presented is good: what the servers beside this file have in common.

`KEYLEDGER_URL` is the API's address, and `KEYLEDGER_GATEWAY_TOKEN_FILE` a file that holds nothing but the token of an
operator with the role `verifier`.
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


class Unanswered(Exception):
    """Keyledger did not say whether it is good. Refuse: without an answer nobody gets in."""


def verify(login: str, secret: str, channel: str, client_ip: str) -> dict[str, Any]:
    """The answer of `POST /v1/verify`: with `valid` and `code`, and where the secret was right, whose it is.

    Raises `Unanswered`.
    """
    url = urlsplit(os.environ["KEYLEDGER_URL"])
    token = Path(os.environ["KEYLEDGER_GATEWAY_TOKEN_FILE"]).read_text().strip()
    asked = json.dumps({"public_id": login, "secret": secret, "channel": channel, "client_ip": client_ip})
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
    except (OSError, HTTPException, ValueError) as error:
        raise Unanswered("Keyledger did not answer") from error
    return answer
