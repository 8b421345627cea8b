"""What an export holds, in formats for other tools: the same events as the log, and what becomes of personal fields."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import orjson
import pyarrow.parquet as pq
import pytest
from uuid_utils.compat import uuid7

from api.exporting import tables
from api.exporting.files import EventFormat, EventsFile
from api.exporting.manifests import Tally
from api.wiring import Services
from ledger.bulk_revocation import CREDENTIALS_MAX
from ledger.commands import EraseCredential, RequestExport, RevokeCredential
from ledger.export import Export
from ledger.store import log
from ledger.values import RevocationReason
from ledger.verification import Code
from projections.exported_files import Written
from projections.sealed.exporting import find_sealed, write_bundle
from projections.usage import UsageRecorder
from tests import given
from tests.projections.keeping_up import catch_up
from tests.projections.test_sealing import sealing

EMAIL = b"dev@example.com"


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


def asked_for(services: Services, organisation: UUID | None, **asked: Any) -> Export:
    """An export that is asked for now, and sealed."""
    asking = given.context(reason="audit")
    command = RequestExport(context=asking, export_id=uuid7(), organisation_id=organisation, **asked)
    export: Export = services.ledger.handle(command).state
    with sealing(services) as by_hand:
        by_hand.seal()
    return export


def file_of(services: Services, export: Export, form: EventFormat) -> tuple[Iterator[bytes], Tally]:
    """Its file in pieces, and what its manifest will say when these were taken."""
    with services.store.connect() as connection:
        sealed = find_sealed(services.log, connection, export)
        assert sealed is not None
    file, tally = EventsFile(services.log, export, sealed, form), Tally()
    return file.pieces(file.tag(), tally), tally


def exported(services: Services, organisation: UUID | None, form: EventFormat, **asked: Any) -> tuple[bytes, Written]:
    """The file of an export that is asked for now, and what its manifest will say."""
    pieces, tally = file_of(services, asked_for(services, organisation, **asked), form)
    return b"".join(pieces), tally.written()


def revoke(services: Services, credential: UUID) -> None:
    services.ledger.handle(
        RevokeCredential(
            context=given.context(), credential_id=credential, revocation_reason=RevocationReason.COMPROMISED
        )
    )


@pytest.mark.parametrize("form", EventFormat)
@pytest.mark.parametrize("asked", [{}, {"topics": ("credential.created",)}])
def test_a_file_without_an_event_that_was_deleted_is_not_written(
    services: Services, organisation: UUID, form: EventFormat, asked: dict[str, Any]
) -> None:
    given.a_credential(services, organisation)
    with sealing(services) as by_hand:
        by_hand.seal()
        by_hand.tamper("DELETE FROM ledger_events WHERE topic LIKE 'credential.created%%'")
    with pytest.raises(LookupError, match="audit check"):
        exported(services, organisation, form, **asked)


def test_every_format_has_every_event_of_the_organisation_and_no_others(
    services: Services, organisation: UUID, tmp_path: Path
) -> None:
    other = given.an_organisation(services, "Umbrella")
    for each in (organisation, other):
        credential, _ = given.a_credential(services, each)
        revoke(services, credential.id)
    logged = [(one.position, one.event.TOPIC, str(one.aggregate_id)) for one in services.log.read(0, 100, organisation)]
    assert len(logged) > 3

    parquet, of_parquet = exported(services, organisation, EventFormat.PARQUET)
    read = pq.read_table(io.BytesIO(parquet)).to_pylist()
    rows = [(row["position"], row["topic"], row["aggregate_id"]) for row in read]
    assert rows[: len(logged)] == logged
    assert rows[-1][1] == "export.requested"
    assert of_parquet.counts["credential.revoked"] == 1
    assert of_parquet.rows == len(rows)

    table, _ = exported(services, organisation, EventFormat.CSV)
    (tmp_path / "events.csv").write_bytes(table)
    query = "SELECT position, topic, aggregate_id::text FROM read_csv(?) ORDER BY position"
    assert duckdb.execute(query, [str(tmp_path / "events.csv")]).fetchall()[: len(logged)] == logged

    ocsf, _ = exported(services, organisation, EventFormat.OCSF)
    lines = [orjson.loads(line) for line in ocsf.splitlines()]
    told = [(line["metadata"]["sequence"], line["metadata"]["event_code"]) for line in lines]
    assert told[: len(logged)] == [(position, topic) for position, topic, _ in logged]


@pytest.mark.parametrize("personal", [False, True])
@pytest.mark.parametrize("form", EventFormat)
def test_of_large_events_as_many_again_do_not_take_more_memory(
    services: Services, organisation: UUID, form: EventFormat, personal: bool
) -> None:
    asked: dict[str, Any] = {"topics": ("bulk_revocation.started",), "personal": personal}
    exported(services, organisation, form)  # what is imported and made once is none of it
    held = list[int]()
    for _ in range(2):
        for _ in range(20):
            credentials = (uuid7() for _ in range(CREDENTIALS_MAX))  # 390 kilobytes, and several times that decoded
            given.a_bulk_revocation(services, organisation, *credentials)
        pieces, _ = file_of(services, asked_for(services, organisation, **asked), form)
        tracemalloc.start()
        try:
            for _ in pieces:
                pass
            held.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert held[1] < 1.5 * held[0]


@pytest.mark.parametrize("personal", [False, True])
@pytest.mark.parametrize("form", [EventFormat.CSV, EventFormat.OCSF])
def test_however_few_events_are_read_and_written_at_once_the_file_is_the_same(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch, form: EventFormat, personal: bool
) -> None:
    for _ in range(20):
        given.a_credential(services, organisation)
    export = asked_for(services, organisation, personal=personal)
    whole = b"".join(file_of(services, export, form)[0])
    for bytes_max in (1, 2_500):
        monkeypatch.setattr(log, "READ_BYTES_MAX", bytes_max)
        monkeypatch.setattr(tables, "BATCH_BYTES", bytes_max)
        assert b"".join(file_of(services, export, form)[0]) == whole


def test_every_row_is_found_in_the_bundle_of_the_same_export(services: Services, organisation: UUID) -> None:
    for _ in range(3):
        revoke(services, given.a_credential(services, organisation)[0].id)
    export = asked_for(services, organisation, topics=("credential",))
    content = b"".join(file_of(services, export, EventFormat.CSV)[0]).decode()
    rows = {
        (row["aggregate_id"], row["aggregate_version"], row["topic"]) for row in csv.DictReader(io.StringIO(content))
    }
    with services.store.connect() as connection:
        sealed = find_sealed(services.log, connection, export)
    assert sealed is not None
    lines = map(orjson.loads, b"".join(write_bundle(services.log, sealed)).splitlines())
    leaves = [line["entry"] for line in lines if line["type"] == "leaf" and "state" in line]
    assert len(rows) == 9
    # The bundle has the request as well, which the filter did not take.
    assert {(leaf["aggregate"], leaf["version"], leaf["topic"].partition("@")[0]) for leaf in leaves} - rows == {
        (str(export.id), "1", "export.requested")
    }


def test_what_concerns_no_organisation_names_none(services: Services, organisation: UUID) -> None:
    given.an_operator(services)
    content, _ = exported(services, None, EventFormat.CSV)
    assert {row["organisation_id"] for row in csv.DictReader(io.StringIO(content.decode()))} == {""}
    parquet, _ = exported(services, None, EventFormat.PARQUET)
    assert set(pq.read_table(io.BytesIO(parquet))["organisation_id"].to_pylist()) == {None}
    ocsf, _ = exported(services, None, EventFormat.OCSF)
    told = [orjson.loads(line)["metadata"] for line in ocsf.splitlines()]
    assert told
    assert not any("tenant_uid" in one for one in told)


def test_an_export_has_only_what_its_filter_takes(services: Services, organisation: UUID) -> None:
    first, second = (given.a_credential(services, organisation)[0].id for _ in range(2))
    revoke(services, first)
    revoke(services, second)
    content, written = exported(
        services, organisation, EventFormat.PARQUET, aggregates=(second,), topics=("credential.revoked",)
    )
    (row,) = pq.read_table(io.BytesIO(content)).to_pylist()
    assert (row["aggregate_id"], row["topic"], written.rows) == (str(second), "credential.revoked", 1)
    later = datetime.now(UTC) + timedelta(days=1)
    assert exported(services, organisation, EventFormat.CSV, begin=later)[1].rows == 0


@pytest.mark.parametrize("form", EventFormat)
def test_personal_fields_are_there_only_if_asked_for_and_never_after_erasure(
    services: Services, organisation: UUID, form: EventFormat
) -> None:
    credential, secret = given.a_credential(services, organisation)
    revoke(services, credential.id)

    def told(content: bytes) -> bytes:
        if form is not EventFormat.PARQUET:
            return content
        return "".join(pq.read_table(io.BytesIO(content))["data"].to_pylist()).encode()

    withheld, _ = exported(services, organisation, form)
    shown, _ = exported(services, organisation, form, personal=True)
    assert (EMAIL in told(withheld), EMAIL in told(shown)) == (False, True)
    assert secret.encode() not in told(shown)
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=credential.id))
    erased, _ = exported(services, organisation, form, personal=True)
    assert EMAIL not in told(erased)
    if form is not EventFormat.PARQUET:
        assert (b"withheld" in withheld, b"shown" in shown, b"erased" in erased) == (True, True, True)


def test_nothing_that_verifies_a_secret_is_in_any_format(services: Services, organisation: UUID) -> None:
    given.a_credential(services, organisation)
    digests = [
        one.event.secret.digest.encode()
        for one in services.log.read(0, 100, organisation)
        if hasattr(one.event, "secret")
    ]
    assert digests
    for form in (EventFormat.CSV, EventFormat.OCSF):
        content, _ = exported(services, organisation, form, personal=True)
        assert not any(digest in content for digest in digests)


@pytest.mark.usefixtures("within_a_day")
def test_verifications_of_whole_days_that_were_over_are_in_ocsf(services: Services, organisation: UUID) -> None:
    credential = given.a_credential(services, organisation)[0].id
    stranger = given.a_credential(services, given.an_organisation(services, "Umbrella"))[0].id
    catch_up(services)
    now = datetime.now(UTC)
    usage = UsageRecorder(services.store, 60)
    usage.start()
    for whose in (credential, stranger):
        for code, days in ((Code.VALID, 2), (Code.REVOKED, 1), (Code.VALID, 0)):
            usage.note(whose, 1, now - timedelta(days=days), None, code)
    usage.stop()

    content, written = exported(services, organisation, EventFormat.OCSF)
    counted = [line for line in map(orjson.loads, content.splitlines()) if line["class_uid"] == 3002]
    assert [(line["user"]["uid"], line["status_code"], line["count"]) for line in counted] == [
        (str(credential), "VALID", 1),
        (str(credential), "REVOKED", 1),
    ]
    assert written.counts["verification"] == 2
    assert (
        exported(services, organisation, EventFormat.OCSF, begin=now - timedelta(days=1))[1].counts.get("verification")
        is None
    )
    of_a_kind, _ = exported(services, organisation, EventFormat.OCSF, topics=("credential",))
    assert b"Authentication" not in of_a_kind


def test_the_manifest_counts_and_digests_what_was_written(services: Services, organisation: UUID) -> None:
    content, written = exported(services, organisation, EventFormat.CSV)
    assert written.sha256 == sha256(content).hexdigest()
    assert written.bytes == len(content)
    assert written.rows == sum(written.counts.values()) == len(content.splitlines()) - 1
