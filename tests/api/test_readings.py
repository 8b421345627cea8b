"""Reading is audited: who looked at whose history, past, addresses or hints is told to auditors."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from api.app import create_app
from api.wiring import Services
from ledger.errors import StoreUnavailable
from ledger.values import Mode, Role
from projections.readings import Reading, ReadingRecorder, Shown, list_readings
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.api.test_exports import seal


@pytest.fixture
def services(services: Services) -> Services:
    """Those of a process that answers requests."""
    return replace(services, readings=ReadingRecorder(services.store, 60))


@pytest.fixture
def auditor(sign_in: SignIn, organisation: UUID) -> SignedIn:
    return sign_in(Role.AUDITOR, organisation_id=organisation)


def told(services: Services, reader: SignedIn, organisation: UUID, query: str = "") -> list[dict[str, Any]]:
    """The readings that were noted up to now, newest first."""
    assert services.readings is not None
    services.readings.flush()
    found: list[dict[str, Any]] = reader("GET", f"/v1/organisations/{organisation}/readings{query}").json["data"]
    return found


def test_who_read_what_of_which_credential_is_told(
    services: Services, administrator: SignedIn, auditor: SignedIn, organisation: UUID
) -> None:
    credential = given.a_credential(services, organisation)[0].id
    one = f"/v1/organisations/{organisation}/credentials/{credential}"
    asked = {
        one: ["hint"],
        f"{one}/events": ["hint", "history"],
        f"{one}/difference?from=1": ["hint", "past"],
        f"{one}?version=1": ["hint", "past"],
        f"{one}/usage": ["usage"],
    }
    for path in asked:
        assert auditor("GET", path, headers={"X-Request-Id": "r-7"}).status_code == 200
    assert auditor("GET", f"/v1/organisations/{organisation}/events").status_code == 200

    readings = told(services, administrator, organisation)

    assert [reading["what"] for reading in readings] == [["activity"], *reversed(asked.values())]
    about = [reading["aggregate_id"] for reading in readings]
    assert about == [None, *[str(credential)] * len(asked)]
    first = readings[-1]
    assert (first["actor"], first["roles"], first["via"]) == (f"operator:{auditor.operator_id}", ["auditor"], "api")
    assert (first["request_id"], first["address"]) == ("r-7", "127.0.0.1")
    assert first["route"] == "/v1/organisations/{organisation_id}/credentials/{credential_id}"


def test_who_read_entries_of_the_log_and_proofs_is_told(
    services: Services, administrator: SignedIn, auditor: SignedIn, organisation: UUID
) -> None:
    credential = given.a_credential(services, organisation)[0].id
    seal(services)
    ledger, proof = f"/v1/organisations/{organisation}/ledger", f"aggregate_id={credential}&version=1"
    size = auditor("GET", ledger).json["size"]
    shown = ("tile/entries/000.p/" + str(size), f"proofs/event?{proof}", f"proofs/event.tlog-proof?{proof}")
    not_shown = (f"tile/0/000.p/{size}", "checkpoint", "proofs/consistency?old=1", "tile/entries/999.p/1")
    for path in (*shown, *not_shown):
        auditor("GET", f"{ledger}/{path}")
    readings = told(services, administrator, organisation)
    assert [one["what"] for one in readings] == [["proof"]] * len(shown)
    assert [one["route"].rpartition("/")[2] for one in readings] == ["event.tlog-proof", "event", "{path}"]


def test_readings_of_what_concerns_no_organisation_are_listed_apart(
    services: Services, administrator: SignedIn, auditor: SignedIn, organisation: UUID
) -> None:
    administrator("GET", f"/v1/organisations/{organisation}/events")
    seal(services)
    assert administrator("GET", "/v1/ledger/installation/tile/entries/000.p/1").status_code == 200
    assert told(services, administrator, organisation)[0]["what"] == ["activity"]
    found = administrator("GET", "/v1/installation/readings")
    assert [(one["what"], one["organisation_id"]) for one in found.json["data"]] == [(["proof"], None)]
    assert auditor("GET", "/v1/installation/readings").status_code == 403


def test_who_read_of_an_organisations_operator_is_told_to_the_organisation(
    services: Services, administrator: SignedIn, auditor: SignedIn, sign_in: SignIn, organisation: UUID
) -> None:
    theirs = sign_in(Role.VIEWER, organisation_id=organisation)
    one = f"/v1/operators/{theirs.operator_id}"
    for path in ("", "?version=1", "/events", "/difference?from=1"):
        assert administrator("GET", f"{one}{path}").status_code == 200
    assert auditor("GET", "/v1/operators").status_code == 200
    assert administrator("GET", f"/v1/operators?organisation_id={organisation}").status_code == 200
    assert theirs("GET", one).status_code == 200  # of oneself
    expected = [
        (["hint"], None),
        (["hint"], None),
        (["hint", "past"], str(theirs.operator_id)),
        (["hint", "history"], str(theirs.operator_id)),
        (["hint", "past"], str(theirs.operator_id)),
        (["hint"], str(theirs.operator_id)),
    ]
    assert [(each["what"], each["aggregate_id"]) for each in told(services, auditor, organisation)] == expected


def test_who_read_of_operators_of_all_organisations_is_told_to_these(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    one = f"/v1/operators/{given.an_operator(services, Role.VIEWER)[0]}"
    for path in ("/v1/operators", one, f"{one}/events"):
        assert administrator("GET", path).status_code == 200
    assert told(services, administrator, organisation) == []
    found = administrator("GET", "/v1/installation/readings").json["data"]
    assert [each["what"] for each in found if each["what"] != ["readings"]] == [["hint", "history"], ["hint"], ["hint"]]


def test_what_shows_nothing_of_it_and_what_is_refused_is_not_told(
    services: Services, administrator: SignedIn, sign_in: SignIn, organisation: UUID
) -> None:
    hidden = replace(services, settings=replace(services.settings, production_hints="granted"))
    credential = given.a_credential(services, organisation, mode=Mode.LIVE)[0].id
    viewer = sign_in(Role.VIEWER, organisation_id=organisation, production=False)
    without_hints = SignedIn(create_app(hidden).test_client(), viewer.token, viewer.operator_id)
    one = f"/v1/organisations/{organisation}/credentials/{credential}"
    assert without_hints("GET", one).status_code == 200
    assert viewer("GET", f"{one}/events").status_code == 403
    assert viewer("GET", f"/v1/organisations/{organisation}").status_code == 200
    assert administrator("POST", f"{one}/suspend").status_code == 200
    assert told(services, administrator, organisation) == []


def test_readings_are_filtered_and_paged_and_their_own_reading_is_told(
    services: Services, administrator: SignedIn, auditor: SignedIn, organisation: UUID
) -> None:
    keys = [given.a_credential(services, organisation)[0].id for _ in range(2)]
    for reader in (administrator, auditor):
        for key in keys:
            reader("GET", f"/v1/organisations/{organisation}/credentials/{key}")
    elsewhere = given.an_organisation(services, "Other")
    administrator("GET", f"/v1/organisations/{elsewhere}/events")

    assert len(told(services, auditor, organisation)) == 4
    by_auditor = told(services, auditor, organisation, f"?actor=operator:{auditor.operator_id}")
    assert [one["what"] for one in by_auditor] == [["readings"], ["hint"], ["hint"]]
    assert len(told(services, auditor, organisation, f"?aggregate_id={keys[0]}")) == 2
    assert told(services, auditor, organisation, "?until=2001-01-01T00:00:00Z") == []
    path = f"/v1/organisations/{organisation}/readings?limit=2&aggregate_id={keys[1]}"
    page = auditor("GET", path).json
    assert page["pagination"]["has_more"] is False
    first = auditor("GET", f"/v1/organisations/{organisation}/readings?limit=3").json
    rest = auditor("GET", f"/v1/organisations/{organisation}/readings?cursor={first['pagination']['cursor']}&limit=200")
    assert not [one for one in rest.json["data"] if one in first["data"]]


def a_reading(number: int) -> Reading:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    return Reading(None, None, at, f"operator:{number}", ["auditor"], "api", [Shown.HINT], "/", "", "")


def test_what_could_not_be_written_is_kept_up_to_a_bound(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = ReadingRecorder(services.store, 60, readings_max=3)
    for number in range(5):
        recorder.note(a_reading(number))
    assert recorder.dropped == 2
    with services.store.connect() as connection:
        connection.execute("ALTER TABLE reading RENAME TO away")
        with pytest.raises((StoreUnavailable, psycopg.Error)):
            recorder.flush()
        connection.execute("ALTER TABLE away RENAME TO reading")
    assert recorder.flush() == 3
    assert recorder.flush() == 0
    assert [row["actor"] for row in list_readings(services.store, None).rows] == [f"operator:{n}" for n in (2, 1, 0)]
