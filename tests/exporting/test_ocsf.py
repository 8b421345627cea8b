"""OCSF: every event there is, and counts of verifications, hold to the schema that OCSF publishes."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import orjson
import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from api.exporting import ocsf
from ledger.events import EVENTS, CredentialRevoked, Event
from ledger.values import RevocationReason
from ledger.verification import Code
from projections.exported import ExportedEvent, Personal, VerificationCount
from projections.history import shown_fields
from tests.golden import SAMPLES, placed


@cache
def published() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.SCHEMA_VERSION))


@cache
def validator(class_uid: int) -> Draft202012Validator:
    schemas = published()
    return Draft202012Validator(schemas.get_class_schema(schemas.lookup_class_name_from_uid(class_uid), profiles=[]))


def read_back(document: dict[str, Any]) -> dict[str, Any]:
    """As a SIEM reads it from the file."""
    (line,) = b"".join(ocsf.write_ocsf([document])).splitlines()
    read: dict[str, Any] = orjson.loads(line)
    return read


def exported(event: Event) -> ExportedEvent:
    aggregate_id, version, organisation_id, _, position = placed(event)
    of = None if organisation_id is None else str(organisation_id)
    personal = Personal.SHOWN if event.PERSONAL else Personal.NONE
    return ExportedEvent(position, str(aggregate_id), version, of, event, shown_fields(event), personal, 0)


def test_every_kind_of_event_has_its_activity() -> None:
    assert set(ocsf.ACTIVITIES) == set(EVENTS)


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.TOPIC)
def test_an_event_holds_to_the_published_schema(event: Event) -> None:
    for context in (event.context, replace(event.context, address="", reason="", request_id="", actor="system")):
        document = read_back(ocsf.of_event(exported(replace(event, context=context))))
        validator(document["class_uid"]).validate(document)


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.TOPIC)
def test_names_are_what_the_published_schema_calls_the_ids(event: Event) -> None:
    document = read_back(ocsf.of_event(exported(event)))
    name = published().lookup_class_name_from_uid(document["class_uid"])
    described = get_ocsf_schema(version=ocsf.SCHEMA_VERSION)["classes"][name]
    names = {
        attribute: described["attributes"][attribute]["enum"][str(document[attribute])]["caption"]
        for attribute in ("category_uid", "class_uid", "severity_id", "status_id", "type_uid", "activity_id")
    }
    assert document["category_name"] == names["category_uid"]
    assert document["class_name"] == names["class_uid"]
    assert document["severity"] == names["severity_id"]
    assert document["status"] == names["status_id"]
    assert document["type_name"] == names["type_uid"]
    assert names["activity_id"] in (document["activity_name"], "Other")


@pytest.mark.parametrize("code", Code)
def test_a_count_of_verifications_is_an_authentication_that_stands_for_so_many(code: Code) -> None:
    counted = VerificationCount(uuid4(), uuid4(), date(2026, 11, 20), code, 12)
    document = read_back(ocsf.of_verifications(counted))
    validator(3002).validate(document)
    assert (document["count"], document["status"]) == (12, "Success" if code is Code.VALID else "Failure")
    assert document["end_time"] - document["start_time"] == 24 * 60 * 60 * 1000


def test_time_is_in_milliseconds() -> None:
    event = SAMPLES[0]
    at = datetime(2026, 11, 21, 13, 42, 54, 123_999, tzinfo=UTC)
    document = ocsf.of_event(exported(replace(event, context=replace(event.context, at=at))))
    assert document["time"] == 1795268574123


def test_a_leaked_secret_is_of_high_severity_and_any_other_end_is_not() -> None:
    revoked = next(event for event in SAMPLES if isinstance(event, CredentialRevoked))
    severities = {
        reason: ocsf.of_event(exported(replace(revoked, revocation_reason=reason)))["severity"]
        for reason in RevocationReason
    }
    assert {reason for reason, severity in severities.items() if severity == "High"} == {RevocationReason.COMPROMISED}


def test_a_wrong_document_would_be_noticed() -> None:
    document = read_back(ocsf.of_event(exported(SAMPLES[0])))
    for spoiled in (document | {"type_uid": "x"}, document | {"surprise": 1}, document | {"metadata": {}}):
        assert not validator(document["class_uid"]).is_valid(spoiled)
