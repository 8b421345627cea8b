"""Answers: JSON written from rows, in the shapes of `api/documents.py`."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from flask import Response

from api import documents
from api.auth import sees_hints
from api.incoming import now, services

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


# What every answer says unless it says otherwise. It is data: where a browser shows one as a page, that page may load
# and run nothing; and as it may hold a secret or a person's data, nobody but the asker keeps it.
FINISHING_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)


def to_json(body: Any) -> bytes:
    """JSON with times in RFC 3339, UTC as Z."""
    return orjson.dumps(body, default=str, option=_OPTIONS)


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer. What may hold a secret or a person's data is for the asker alone: nothing is cached."""
    return Response(to_json(body), status, headers, mimetype="application/json")


def etag(version: int) -> str:
    """An aggregate's version as an entity tag (RFC 9110 section 8.8.3)."""
    return f'"{version}"'


def page(data: Iterable[Mapping[str, Any]], cursor: str | None) -> Response:
    """One page of a list; `cursor` is where the next begins, None on the last."""
    return answer({"data": list(data), "pagination": {"cursor": cursor, "has_more": cursor is not None}})


def credential(row: Mapping[str, Any], at: datetime | None = None) -> documents.Document:
    """A credential as it reads to the caller at a moment, or at this request's."""
    rotation_days, catalogues = services().settings.rotation_days, services().catalogues
    return documents.credential(row, at or now(), rotation_days, catalogues, hints=sees_hints(row["mode"]))
