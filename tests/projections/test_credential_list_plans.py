"""Every filter is answered through an index, whether what it asks for is rare or common.

The rows are made in the table itself, once with little of what the filters ask for, once with little else, and once
with the oldest nine in ten revoked. With a million rows the first two gave the same plans; their shape is the same from
some thousands on.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from api.wiring import Services, open_services
from ledger.settings import Settings
from ledger.store.migrate import migrate
from ledger.values import Channel, Environment, Kind, Mode, Status
from projections.credential_list import CredentialFilters, list_queries
from tests.conftest import MASTER_KEY

ROWS = 30_000
ORGANISATION = UUID(int=1)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)

# Five rows in four thousand are special, or all but those are.
FILL = """
INSERT INTO credential_list
SELECT gen_random_uuid(), ':organisation',
    CASE WHEN special THEN '00000000-0000-0000-0000-00000000000a'::uuid END,
    CASE WHEN special THEN '00000000-0000-0000-0000-00000000000b'::uuid END,
    CASE WHEN special THEN 'oauth_client' ELSE 'api_key' END,
    'ak_live_' || n,
    CASE WHEN special THEN 'test' ELSE 'live' END,
    CASE WHEN special THEN 'staging' ELSE 'production' END,
    CASE WHEN special THEN 'email' ELSE 'rest' END,
    'Name ' || n, '',
    CASE WHEN without_owner THEN '' WHEN special THEN 'special@example.com' ELSE 'dev' || n % 500 || '@example.com' END,
    '{}', 'full', '{}', 1, '{}', '[]',
    now() - interval '100 days' - n * interval '1 minute', NULL, expires_at,
    CASE WHEN special AND n % 5 = 2 THEN now() END, revoked_at,
    NULL, NULL, NULL, '', 3, now(),
    coalesce(least(revoked_at, expires_at), 'infinity'),
    now() - CASE WHEN special THEN interval '100 days' ELSE interval '5 days' END,
    CASE WHEN special AND n % 5 = 3 THEN now() + interval '1 day' END,
    ('000001name 000001' || n || CASE WHEN special THEN ' 000001special' ELSE '' END)::tsvector,
    CASE WHEN special THEN now() - interval '100 days' ELSE now() - n % 86400 * interval '1 second' END
FROM generate_series(1, :rows) n,
    LATERAL (SELECT (n % 4000 < 5) <> :common AS special, (n % 4000 = 7) <> (:common AND n / 5 % 2 = 0) AS revoked,
        (n % 4000 IN (8, 9)) <> (:common AND n % 5 = 4) AS without_owner) s,
    LATERAL (SELECT CASE WHEN revoked THEN now() - interval '1 day' END AS revoked_at,
        now() + CASE WHEN special THEN interval '5 days' * (ARRAY[1, -1])[n % 5 + 1] END AS expires_at) t
"""

# An old ledger: nine in ten were revoked, all but the newest, whose secrets were set the longest ago.
END = """
UPDATE credential_list SET revoked_at = created_at, over_at = least(created_at, expires_at),
    secret_set_at = created_at - interval '200 days'
WHERE created_at < now() - interval '100 days' - %(kept)s * interval '1 minute'
"""

# When each was last used is read for every row that is shown, and for those that may be idle.
USE = "INSERT INTO secret_usage SELECT credential_id, 1, seen_at FROM credential_list"


@pytest.fixture(scope="module", params=["rare", "common", "ended"])
def filled(
    request: pytest.FixtureRequest, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """A ledger whose list is full; made once, as these tests only read."""
    schema = f"test_{os.getpid()}_plans_{request.param}"
    migrate(postgres, schema)
    settings = Settings(
        database_url=postgres, schema=schema, data_dir=tmp_path_factory.mktemp("plans"), master_key=MASTER_KEY
    )
    with open_services(settings, postgres) as services:
        with services.store.connect() as connection:
            connection.execute("SET statement_timeout TO 0")
            connection.execute("TRUNCATE credential_list")
            fill = FILL.replace(":rows", str(ROWS)).replace(":organisation", str(ORGANISATION))
            connection.execute(fill.replace(":common", str(request.param == "common")))
            if request.param == "ended":
                connection.execute(END, {"kept": ROWS // 10})
            connection.execute(USE)
            connection.execute("VACUUM ANALYZE credential_list, secret_usage")
        yield services
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("SET client_min_messages TO warning")
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "kind": {"kind": Kind.OAUTH_CLIENT},
    "mode": {"mode": Mode.TEST},
    "environment": {"environment": Environment.STAGING},
    "channel": {"channel": Channel.EMAIL},
    "account": {"account": UUID(int=10)},
    "application": {"application": UUID(int=11)},
    "contact_email": {"contact_email": "Special@example.com"},
    "q": {"q": "special"},
    "q, cut": {"q": "speci"},
    "overdue": {"overdue": True},
    "due_before": {"due_before": NOW + 14 * DAY},
    "without_owner": {"without_owner": True},
    "unused_since": {"unused_since": NOW - 90 * DAY},
    "expiring_before": {"expiring_before": NOW + 9 * DAY},
    **{f"status {status}": {"status": status} for status in Status},
    "nothing there": {"kind": Kind.KEY_PAIR},
}

TABLES = {"credential_list", "secret_usage"}
# A page of 50 may look at this many rows: some filters walk the list in its order and leave out what does not fit, and
# a sort takes all there is of something rare.
ROWS_READ_MAX = 5_000


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_reads_an_index_and_little_of_the_table(filled: Services, name: str) -> None:
    queries, parameters = list_queries(
        ORGANISATION, CredentialFilters(**FILTERS[name]), now=datetime.now(UTC), rotation_days=90, cursor=None, limit=50
    )
    read = 0
    with filled.store.connect() as connection:
        for query in queries:
            row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {query}", parameters, prepare=False).fetchone()
            assert row is not None
            plan = row[0][0]["Plan"]
            of_tables = [node for node in nodes(plan) if node.get("Relation Name") in TABLES]
            assert "Seq Scan" not in {node["Node Type"] for node in of_tables}
            read += sum(
                (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
                for node in of_tables
            )
            if plan["Actual Rows"] > 50:
                break
    assert read <= ROWS_READ_MAX
