"""What a page of the console costs at the server: through the whole WSGI application, for an administrator who is
signed in, in the ledger that `listing` filled. A page is to take less than `MOST_MS`.
"""

import statistics
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from werkzeug.test import Client

from api.app import create_app
from api.wiring import Services
from benchmarks.given import administrator
from projections.credential_list import EVERYTHING
from projections.pages import encode_cursor

MOST_MS = 100  # at a million credentials: what a reader takes for at once
TIMES = 100  # of each page, so that the slowest five make the p95


def measure(services: Services, organisation_id: UUID, now: datetime) -> dict[str, Any]:
    """The p50 and p95 of each page in milliseconds, and how much was sent."""
    client = Client(create_app(services))
    token = administrator(services)
    signed_in = client.post("/console/sign-in", data={"token": token}, headers={"Sec-Fetch-Site": "same-origin"})
    if signed_in.status_code != 303:
        raise RuntimeError(f"signing in answered {signed_in.status}")
    root = f"/console/organisations/{organisation_id}"
    pages = {name: _page(client, root + path) for name, path in _paths(organisation_id, now).items()}
    return {"most_ms": MOST_MS, "times": TIMES, "pages": pages}


def _paths(organisation_id: UUID, now: datetime) -> Mapping[str, str]:
    half_a_year_back = encode_cursor((now - timedelta(days=180), UUID(int=0)), (organisation_id, EVERYTHING))
    return {
        "credentials": "/credentials",
        "credentials, half a year back": f"/credentials?cursor={half_a_year_back}",
        "credentials, filtered": "/credentials?status=active&kind=oauth_client&mode=test",
        "credentials, a common word": "/credentials?q=billing",
        "credentials, one of them": "/credentials?q=0000500",
        "credentials, overdue": "/credentials?overdue=true",
        "search in everything": "/search?q=billing",
        "overview": "",
    }


def _page(client: Client, path: str) -> dict[str, float]:
    taken, size = [], 0
    for _ in range(TIMES + 1):
        started = time.perf_counter()
        answer = client.get(path)
        taken.append((time.perf_counter() - started) * 1000)
        size = len(answer.data)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
    slowest = statistics.quantiles(taken[1:], n=20)[-1]  # the first makes plans and compiles templates
    return {"p50_ms": statistics.median(taken[1:]), "p95_ms": slowest, "bytes": size}
