"""What a process says of itself: log lines without secrets, metrics, and whether it is ready."""

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from flask.testing import FlaskClient
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from api.app import create_app
from api.observability import JsonLines, ObservedLedger
from api.wiring import INLINE_ROWS, Services
from ledger.commands import RegisterOrganisation
from ledger.errors import AlreadyExists
from ledger.values import Name
from projections import ASYNCHRONOUS
from projections.reports import REPORTS, ReportCounter
from tests import given
from tests.api.conftest import SignedIn


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What would stand on standard error."""
    found: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    handler = Keep()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)


def _readiness(client: FlaskClient) -> tuple[int, dict[str, Any], str]:
    """The status of /readyz, its body, and when to ask again."""
    answer = client.get("/readyz")
    body: dict[str, Any] = orjson.loads(answer.data)
    return answer.status_code, body, answer.headers.get("Retry-After", "")


def _value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_line_of_a_request_says_who_what_and_how_it_ended(
    administrator: SignedIn, organisation: UUID, lines: list[str]
) -> None:
    path = f"/v1/organisations/{organisation}/credentials"
    answer = administrator("GET", f"{path}?q=ada%40example.com", headers={"X-Request-Id": "trace-1"})

    assert answer.status_code == 200
    (line,) = map(json.loads, lines)
    assert line.pop("duration_ms") > 0
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "keyledger.requests",
        "message": line["message"],
        "request_id": "trace-1",
        "method": "GET",
        "path": path,
        "status": 200,
        "operator_id": str(administrator.operator_id),
    }


def test_the_line_of_a_refusal_has_its_code(administrator: SignedIn, lines: list[str]) -> None:
    answer = administrator("POST", "/v1/organisations", {"name": 7})

    (line,) = map(json.loads, lines)
    assert (line["status"], line["code"]) == (422, answer.json["code"])


def test_the_line_of_a_verification_has_its_code_and_its_gateway(verifier: SignedIn, lines: list[str]) -> None:
    verifier("POST", "/v1/verify", {"secret": "kl_api_key_live_wrong"})

    (line,) = map(json.loads, lines)
    assert (line["status"], line["code"], line["operator_id"]) == (200, "MALFORMED", str(verifier.operator_id))


def test_a_secret_that_someone_puts_into_a_path_is_blacked_out(client: FlaskClient, lines: list[str]) -> None:
    secret = "kl_api_key_live_" + "a" * 36

    client.get(f"/v1/credentials/{secret}")

    (line,) = lines
    assert secret not in line
    assert json.loads(line)["path"] == "/v1/credentials/[secret]"


def test_the_line_of_an_exception_does_not_quote_the_rows_it_was_about(lines: list[str]) -> None:
    login = str(uuid7())  # not a literal: the line also quotes this source
    try:
        raise psycopg.errors.UniqueViolation(f"duplicate key\nDETAIL:  Key (login)=({login}) already exists.")
    except psycopg.Error:
        logging.getLogger("keyledger").exception("it failed")

    (line,) = lines
    assert "UniqueViolation: duplicate key" in json.loads(line)["exception"]
    assert login not in line


def test_a_line_is_one_line_whatever_is_in_it(lines: list[str]) -> None:
    logging.getLogger("keyledger").warning("two\nlines", extra={"thing": {1: object()}})

    assert "\n" not in lines[0]
    assert json.loads(lines[0])["message"] == "two\nlines"


def test_asking_for_health_is_not_logged_as_it_would_bury_the_rest(client: FlaskClient, lines: list[str]) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)

    assert lines == []


def test_commands_are_counted_by_type_and_outcome(services: Services) -> None:
    ledger = ObservedLedger(services.log, INLINE_ROWS)
    command = RegisterOrganisation(context=given.context(), organisation_id=uuid7(), name=Name("Acme"))

    def counted(outcome: str) -> float:
        return _value("keyledger_commands_total", command="RegisterOrganisation", outcome=outcome)

    recorded, refused = counted("recorded"), counted("already_exists")
    ledger.handle(command)
    with pytest.raises(AlreadyExists):
        ledger.handle(command)

    assert (counted("recorded") - recorded, counted("already_exists") - refused) == (1, 1)


def test_verifications_are_counted_by_code_and_requests_by_operation_not_by_path(
    verifier: SignedIn, client: FlaskClient
) -> None:
    verdicts = _value("keyledger_verifications_total", code="MALFORMED")
    unknown = _value("keyledger_http_requests_total", method="other", operation="none", status="404")

    verifier("POST", "/v1/verify", {"secret": "kl_wrong"})
    for path in ("/a", "/b"):
        client.open(path, method="INVENTED")

    assert _value("keyledger_verifications_total", code="MALFORMED") == verdicts + 1
    assert _value("keyledger_http_requests_total", method="other", operation="none", status="404") == unknown + 2


def test_metrics_tell_of_every_view_of_the_database_and_of_the_build(client: FlaskClient) -> None:
    text = client.get("/metrics").text

    assert "keyledger_database_up 1.0" in text
    assert 'keyledger_build_info{python="' in text
    for view in ASYNCHRONOUS:
        assert f'keyledger_projection_lag_seconds{{projection="{view.name}"}}' in text


def test_metrics_tell_what_each_report_held_and_when_that_was_counted(services: Services, client: FlaskClient) -> None:
    assert "keyledger_report_credentials{" not in client.get("/metrics").text
    ReportCounter(services.store, 90, 300).count()

    text = client.get("/metrics").text

    for report in REPORTS:
        assert f'keyledger_report_credentials{{report="{report}"}} 0.0' in text
        found = re.search(rf'keyledger_report_counted_timestamp_seconds{{report="{report}"}} (\S+)', text)
        assert found is not None
        assert abs(float(found[1]) - time.time()) < 60


def test_metrics_name_no_tenant_and_no_credential(
    administrator: SignedIn, organisation: UUID, verifier: SignedIn, services: Services, client: FlaskClient
) -> None:
    receipt, secret = given.a_credential(services, organisation)
    administrator("GET", f"/v1/organisations/{organisation}/credentials/{receipt.id}")
    verifier("POST", "/v1/verify", {"secret": secret})

    text = client.get("/metrics").text

    for never in (str(organisation), str(receipt.id), secret, receipt.state.public_id, administrator.token):
        assert never not in text


def test_metrics_of_several_processes_are_added_up_and_a_dead_ones_gauges_are_not(tmp_path: Path) -> None:
    says = (
        "from api.observability import QUEUE_DEPTH, VERIFICATIONS\n"
        "VERIFICATIONS.labels('VALID').inc(2); QUEUE_DEPTH.set(5)"
    )
    asks = (
        f"{says}\nfrom prometheus_client import CollectorRegistry, generate_latest, multiprocess\n"
        "from pathlib import Path\nimport os\nfrom api.observability import _forget_the_dead\n"
        "_forget_the_dead(Path(os.environ['PROMETHEUS_MULTIPROC_DIR']))\nregistry = CollectorRegistry()\n"
        "multiprocess.MultiProcessCollector(registry)\nprint(generate_latest(registry).decode())"
    )
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}

    subprocess.run([sys.executable, "-c", says], env=environment, check=True)
    ran = subprocess.run([sys.executable, "-c", asks], env=environment, check=True, capture_output=True, text=True)

    assert 'keyledger_verifications_total{code="VALID"} 4.0' in ran.stdout
    assert "keyledger_commit_queue_depth 5.0" in ran.stdout


# --- ready or not ----------------------------------------------------------------------------------------------------


def test_a_ledger_whose_views_have_all_is_ready(client: FlaskClient) -> None:
    status, body, _ = _readiness(client)

    assert (status, body["status"]) == (200, "ready")
    assert set(body["projections"]) == {view.name for view in ASYNCHRONOUS}


def test_a_ledger_whose_views_are_late_is_not_ready(services: Services) -> None:
    """Nobody projects here, and the first event is a minute old."""
    a_minute_ago = given.context(datetime.now(UTC) - timedelta(minutes=1))
    services.ledger.handle(RegisterOrganisation(context=a_minute_ago, organisation_id=uuid7(), name=Name("Acme")))

    def with_lag_max(seconds: float) -> tuple[int, dict[str, Any], str]:
        late = replace(services, settings=replace(services.settings, projection_lag_max=seconds))
        return _readiness(create_app(late).test_client())

    assert with_lag_max(3600)[0] == 200
    status, body, again = with_lag_max(30)
    assert (status, body["status"]) == (503, "behind")
    assert int(again) > 0


def test_a_database_that_lacks_a_migration_is_not_ready(services: Services, client: FlaskClient) -> None:
    with psycopg.connect(services.store.conninfo) as connection:
        connection.execute(f"SET search_path TO {services.settings.schema}")
        connection.execute("DELETE FROM schema_migration WHERE version = (SELECT max(version) FROM schema_migration)")

    status, body, again = _readiness(client)

    assert (status, body["status"]) == (503, "unavailable")
    assert body["migrations"].startswith("missing ")
    assert int(again) > 0


def test_a_database_that_is_newer_than_this_version_is_not_ready(services: Services, client: FlaskClient) -> None:
    with psycopg.connect(services.store.conninfo) as connection:
        connection.execute(f"SET search_path TO {services.settings.schema}")
        connection.execute("INSERT INTO schema_migration (version, name, digest) VALUES (9999, 'of_tomorrow', 'x')")

    status, body, _ = _readiness(client)

    assert (status, body["status"]) == (503, "unavailable")
    assert "newer" in body["migrations"]


def test_whoever_asks_for_health_needs_no_token(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
