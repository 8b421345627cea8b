"""Organisations are listed and found through indexes, however many there are."""

from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from projections.organisation_status import list_queries
from tests.projections.test_credential_list_plans import nodes

ORGANISATIONS = 20_000
ROWS_READ_MAX = 2_000  # the next thousand, and what is found

FILL = """
INSERT INTO organisation_status (organisation_id, name, registered_at, version, search)
SELECT gen_random_uuid(), name, now(), 1, array_to_tsvector(string_to_array(lower(name), ' '))
FROM generate_series(1, %s) n, LATERAL (SELECT CASE WHEN n %% 4000 = 7 THEN 'Rare ' ELSE 'Common ' END || n AS name) s
"""


@pytest.fixture
def many(services: Services) -> Services:
    with services.store.connect() as connection:
        connection.execute(FILL, (ORGANISATIONS,))
        connection.execute("VACUUM ANALYZE organisation_status")
    return services


@pytest.mark.parametrize("q", [None, "rare", "com", "common 19999", "nobody"])
@pytest.mark.parametrize("after", [None, UUID(int=2**127)])
def test_a_page_reads_an_index_and_little_of_the_table(many: Services, q: str | None, after: UUID | None) -> None:
    queries, parameters = list_queries(None, after, 51, q)
    read = 0
    with many.store.connect() as connection:
        for query in queries:
            row: Any = connection.execute(
                f"EXPLAIN (ANALYZE, FORMAT json) {query}", parameters, prepare=False
            ).fetchone()
            plan = row[0][0]["Plan"]
            of_table = [node for node in nodes(plan) if node.get("Relation Name") == "organisation_status"]
            assert "Seq Scan" not in {node["Node Type"] for node in of_table}
            read += sum(node["Actual Rows"] * node["Actual Loops"] for node in of_table)
            if plan["Actual Rows"] == 51:
                break
    assert read <= ROWS_READ_MAX
