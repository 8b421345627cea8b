"""The peers' keys, in schemas of their own in the same PostgreSQL: as many as ours, stored as their own code does."""

import base64
import hashlib
import json
import os
import secrets
import string
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from benchmarks.loading import THREADS, libpq_variables

DRF_SCHEMA = "bench_drf"
BETTER_AUTH_SCHEMA = "bench_better_auth"
FILLING_SECONDS_MAX = 600.0

_DAY_MS = 86_400_000  # the plugin's own window for its ten requests, which are written also where they are not counted
_LETTERS = string.ascii_letters  # of which Better Auth makes keys and ids


def drf_environment(conninfo: str) -> dict[str, str]:
    """How Django finds a schema that is empty."""
    _create_schema(conninfo, DRF_SCHEMA)
    given = conninfo_to_dict(conninfo)
    database = {
        "NAME": given["dbname"],
        "USER": given["user"],
        "PASSWORD": given.get("password", ""),
        "HOST": given["host"],
        "PORT": given.get("port", 5432),
        "OPTIONS": {"options": f"-c search_path={DRF_SCHEMA}"},
    }
    return {"DJANGO_DATABASE": json.dumps(database)}


def fill_drf(environment: dict[str, str], count: int) -> Sequence[str]:
    """The keys, made by the package itself."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.drf"],
        env={**os.environ, **environment, "KEYS": str(count)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=FILLING_SECONDS_MAX,
        check=True,
    )
    return done.stdout.split()


def better_auth_environment(conninfo: str) -> dict[str, str]:
    """How Better Auth finds a schema that is empty; it makes its tables as it starts."""
    _create_schema(conninfo, BETTER_AUTH_SCHEMA)
    own = {"BETTER_AUTH_SECRET": secrets.token_urlsafe(32), "POOL_SIZE": str(THREADS)}
    return {**libpq_variables(conninfo, BETTER_AUTH_SCHEMA), **own}


def fill_better_auth(conninfo: str, count: int) -> Sequence[str]:
    """The keys of one user, as the plugin's `createApiKey` stores them: by the SHA-256 of each, in base64url."""
    now, user = datetime.now(UTC), _text(32)
    keys = [_text(64) for _ in range(count)]
    columns = ("id", "configId", "referenceId", "start", "key", "enabled", "rateLimitEnabled", "requestCount")
    columns += ("rateLimitMax", "rateLimitTimeWindow", "createdAt", "updatedAt")
    copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(BETTER_AUTH_SCHEMA, "apikey"), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        with cursor.copy(copy) as rows:
            for key in keys:
                digest = base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()).rstrip(b"=").decode()
                rows.write_row((_text(32), "default", user, key[:6], digest, True, False, 0, 10, _DAY_MS, now, now))
        cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(BETTER_AUTH_SCHEMA, "apikey")))
    return keys


def _text(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _create_schema(conninfo: str, name: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
