"""Downloads of exports go on where they were cut off, tell how far they are, and hold nothing for slow readers."""

import dataclasses
import time
from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from api.exporting import csv_files, ocsf, parquet_files
from api.exporting.files import EventFormat, EventsFile
from api.exporting.manifests import Tally
from api.wiring import Services
from ledger.commands import EraseCredential, RemoveWebhookEndpoint, RevokeCredential
from ledger.errors import ExportOvertaken
from ledger.service import EXPORT
from projections import export_progress, exported
from projections.readings import ReadingRecorder, list_readings
from projections.sealed import evidence, exporting
from projections.sealed.exporting import SealedExport, find_sealed, write_bundle
from tests import given
from tests.api.conftest import Answer, SignedIn
from tests.api.test_exports import seal
from tests.projections.keeping_up import catch_up
from tests.waiting import until


@pytest.fixture
def exports(organisation: UUID) -> str:
    return f"/v1/organisations/{organisation}/exports"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leaf at a time, a row at a time, and every step noted: what is many pieces of a large export."""
    monkeypatch.setattr(exported, "CHUNK_LEAVES", 1)
    monkeypatch.setattr(exporting, "CHUNK_LEAVES", 1)
    monkeypatch.setattr(csv_files, "CHUNK_ROWS", 1)
    monkeypatch.setattr(ocsf, "CHUNK_LINES", 1)
    monkeypatch.setattr(parquet_files, "GROUP_ROWS", 1)
    monkeypatch.setattr(parquet_files, "BATCH_ROWS", 1)
    monkeypatch.setattr(export_progress, "WRITTEN_SECONDS", 0)


def asked_for(administrator: SignedIn, services: Services, exports: str, **asked: Any) -> str:
    """Where an export is that was asked for, and is sealed."""
    location = administrator("POST", exports, {"reason": "audit", **asked}).headers["Location"]
    seal(services)
    return str(location)


def a_revoked_credential(services: Services, organisation: UUID) -> UUID:
    credential, _ = given.a_credential(services, organisation)
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=credential.id))
    return credential.id


def erase(services: Services, credential: UUID) -> None:
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=credential))


def sealed_of(services: Services, location: str) -> tuple[Any, SealedExport]:
    state = services.ledger.load(EXPORT, UUID(location.rpartition("/")[2]))
    with services.store.connect() as connection:
        sealed = find_sealed(services.log, connection, state)
    assert sealed is not None
    return state, sealed


def nothing_is_taken(services: Services) -> bool:
    """Every connection of the pool is in it, those that it is just opening apart."""
    held = services.store.pool.get_stats()
    return bool(held["pool_available"] == held["pool_size"])


@pytest.mark.parametrize("form", EventFormat)
@pytest.mark.parametrize("fetched_before", [True, False])
def test_a_download_goes_on_at_any_byte_in_every_format(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    exports: str,
    form: EventFormat,
    fetched_before: bool,
) -> None:
    a_revoked_credential(services, organisation)
    path = f"{asked_for(administrator, services, exports)}/content?format={form}"
    if not fetched_before:
        rest = administrator("GET", path, headers={"Range": "bytes=7-"})
        assert rest.status_code == 206
    whole = administrator("GET", path)
    assert (whole.status_code, whole.headers["Accept-Ranges"]) == (200, "bytes")
    tag, size = whole.headers["ETag"], len(whole.data)
    if not fetched_before:
        assert rest.data == whole.data[7:]
    a_revoked_credential(services, organisation)  # which the export does not have
    seal(services)

    def part(asked: str) -> Answer:
        return administrator("GET", path, headers={"Range": asked, "If-Range": tag})

    for first in (0, 1, size // 2, size - 1):
        answer = part(f"bytes={first}-")
        assert (answer.status_code, answer.headers["ETag"]) == (206, tag)
        assert answer.headers["Content-Range"] == f"bytes {first}-{size - 1}/{size}"
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        assert answer.data == whole.data[first:]
    middle = part(f"bytes=10-{size // 2}")
    assert (middle.status_code, middle.data) == (206, whole.data[10 : size // 2 + 1])
    assert part(f"bytes=10-{size * 9}").data == whole.data[10:]
    beyond = part(f"bytes={size}-")
    assert (beyond.status_code, beyond.json["code"]) == (416, "range_not_satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    for passed_over in ("bytes=-5", "bytes=0-1,5-9", "leaves=1-", "bytes=x"):
        answer = part(passed_over)
        assert (answer.status_code, answer.data) == (200, whole.data)


@pytest.mark.parametrize("form", EventFormat)
def test_what_was_erased_meanwhile_makes_it_another_file_which_begins_anew(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: EventFormat
) -> None:
    credential = a_revoked_credential(services, organisation)
    path = f"{asked_for(administrator, services, exports, personal=True)}/content?format={form}"
    before = administrator("GET", path)
    erase(services, a_revoked_credential(services, given.an_organisation(services, "Other")))
    going_on = {"Range": "bytes=9-", "If-Range": before.headers["ETag"]}
    assert administrator("GET", path, headers=going_on).status_code == 206

    erase(services, credential)

    after = administrator("GET", path, headers=going_on)
    assert after.status_code == 200
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.data != before.data
    rest = administrator("GET", path, headers={"Range": "bytes=9-", "If-Range": after.headers["ETag"]})
    assert (rest.status_code, rest.data) == (206, after.data[9:])


@pytest.mark.parametrize("form", EventFormat)
def test_without_personal_fields_a_file_is_the_same_whatever_is_erased(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: EventFormat
) -> None:
    credential = a_revoked_credential(services, organisation)
    endpoint = given.a_webhook_endpoint(services, organisation)
    path = f"{asked_for(administrator, services, exports)}/content?format={form}"
    before = administrator("GET", path)

    erase(services, credential)
    services.ledger.handle(RemoveWebhookEndpoint(context=given.context(), endpoint_id=endpoint))

    after = administrator("GET", path)
    assert (after.data, after.headers["ETag"]) == (before.data, before.headers["ETag"])


@pytest.mark.parametrize("form", EventFormat)
def test_a_removed_webhook_endpoint_makes_it_another_file_with_a_length_and_a_digest_of_its_own(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: EventFormat
) -> None:
    endpoint = given.a_webhook_endpoint(services, organisation)
    path = f"{asked_for(administrator, services, exports, personal=True)}/content?format={form}"
    before = administrator("GET", path)

    services.ledger.handle(RemoveWebhookEndpoint(context=given.context(), endpoint_id=endpoint))

    after = administrator("GET", path)
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.data != before.data
    assert after.headers["Content-Length"] == str(len(after.data))
    manifest = administrator("GET", path.replace("/content", "/manifest")).json
    assert manifest["sha256"] == sha256(after.data).hexdigest()


@pytest.mark.parametrize("form", ["bundle", *EventFormat])
def test_an_erasure_of_what_an_export_does_not_show_leaves_its_file_alone(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: str
) -> None:
    shown, other = (a_revoked_credential(services, organisation) for _ in range(2))
    paths = [
        f"{asked_for(administrator, services, exports, personal=True, filter=only)}/content?format={form}"
        for only in (
            {"credential_ids": [str(shown)]},
            {"topics": ["operator", "credential.revoked"]},
            {"from": "2999-01-01T00:00:00Z"},
        )
    ]
    everything = f"{asked_for(administrator, services, exports, personal=True)}/content?format={form}"
    newer = a_revoked_credential(services, organisation)

    def tags(*files: str) -> list[str]:
        return [administrator("GET", file).headers["ETag"] for file in files]

    before = tags(*paths, everything)
    erase(services, newer)
    seal(services)
    assert tags(*paths, everything) == before
    erase(services, other)
    seal(services)
    assert tags(*paths) == before[:-1]
    assert tags(everything) != before[-1:]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", EventFormat)
def test_a_file_that_an_erasure_overtakes_is_never_handed_out_to_its_end(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: EventFormat
) -> None:
    credential = a_revoked_credential(services, organisation)
    state, sealed = sealed_of(services, asked_for(administrator, services, exports, personal=True))
    file = EventsFile(services.log, state, sealed, form)
    pieces = file.pieces(file.tag(), Tally())
    assert next(pieces)

    erase(services, credential)

    with pytest.raises(ExportOvertaken):
        list(pieces)
    assert b"".join(file.pieces(file.tag(), Tally()))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", EventFormat)
def test_a_part_that_an_erasure_overtakes_is_never_handed_out_to_its_end_either(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: EventFormat
) -> None:
    credential = a_revoked_credential(services, organisation)
    path = f"{asked_for(administrator, services, exports, personal=True)}/content?format={form}"
    whole = administrator("GET", path)
    half = {"Range": f"bytes=0-{len(whole.data) // 2}", "If-Range": whole.headers["ETag"]}
    begun = administrator.client.get(path, headers={"Authorization": f"Bearer {administrator.token}", **half})
    taken = iter(begun.iter_encoded())
    assert (begun.status_code, bool(next(taken))) == (206, True)

    erase(services, credential)

    with pytest.raises(ExportOvertaken):
        list(taken)


@pytest.mark.parametrize("form", EventFormat)
def test_whoever_asks_for_the_rest_of_another_file_by_if_match_is_refused(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: EventFormat
) -> None:
    credential = a_revoked_credential(services, organisation)
    path = f"{asked_for(administrator, services, exports, personal=True)}/content?format={form}"
    going_on = {"Range": "bytes=9-", "If-Match": administrator("GET", path).headers["ETag"]}
    assert administrator("GET", path, headers=going_on).status_code == 206
    erase(services, credential)
    refused = administrator("GET", path, headers=going_on)
    assert (refused.status_code, refused.json["code"]) == (412, "stale_version")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_an_access_review_goes_on_as_long_as_nothing_in_it_changes(
    services: Services, administrator: SignedIn, organisation: UUID, form: str
) -> None:
    credential, _ = given.a_credential(services, organisation)
    catch_up(services)
    review = administrator("POST", f"/v1/organisations/{organisation}/access-reviews", {"reason": "audit"})
    catch_up(services)
    path = f"{review.headers['Location']}/content?format={form}"
    whole = administrator("GET", path)
    tag, size = whole.headers["ETag"], len(whole.data)
    rest = administrator("GET", path, headers={"Range": "bytes=9-", "If-Range": tag})
    assert (rest.status_code, rest.data) == (206, whole.data[9:])
    assert rest.headers["Content-Range"] == f"bytes 9-{size - 1}/{size}"
    middle = administrator("GET", path, headers={"Range": "bytes=9-19", "If-Match": tag})
    assert (middle.status_code, middle.data) == (206, whole.data[9:20])
    assert administrator("GET", path, headers={"Range": f"bytes={size}-", "If-Range": tag}).status_code == 416

    with services.store.cursor_of_tuples() as curs:
        curs.execute(
            "INSERT INTO secret_usage (credential_id, version, last_used_at) VALUES (%s, 1, now())", (credential.id,)
        )

    anew = administrator("GET", path, headers={"Range": "bytes=9-", "If-Range": tag})
    assert (anew.status_code, anew.headers["ETag"] != tag, anew.data != whole.data) == (200, True, True)
    assert administrator("GET", path, headers={"Range": "bytes=9-", "If-Match": tag}).status_code == 412


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", ["bundle", *EventFormat])
def test_whoever_reads_slowly_holds_no_connection(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: str
) -> None:
    a_revoked_credential(services, organisation)
    state, sealed = sealed_of(services, asked_for(administrator, services, exports, personal=True))

    def pieces() -> Iterator[bytes]:
        if form == "bundle":
            return write_bundle(services.log, sealed)
        file = EventsFile(services.log, state, sealed, EventFormat(form))
        return file.pieces(file.tag(), Tally())

    def nothing_is_held() -> bool:
        mine = services.store.row("SELECT count(*) AS idle FROM pg_stat_activity WHERE state = 'idle in transaction'")
        return nothing_is_taken(services) and mine == {"idle": 0}

    given_out = 0
    for _ in pieces():
        given_out += 1
        until(nothing_is_held)  # what is read ahead is read to its end, whoever waits for it
    assert given_out > 2


def test_a_bundle_waits_for_what_was_erased_before_it_and_not_for_what_goes_on_to_be_erased(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    exports: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (a_revoked_credential(services, organisation) for _ in range(2))
    location = asked_for(administrator, services, exports, personal=True)
    looks = 0

    def signed_as_retention_goes_on(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        until(lambda: nothing_is_taken(services))
        seal(services)
        erase(services, second)

    monkeypatch.setattr(evidence, "time", SimpleNamespace(monotonic=time.monotonic, sleep=signed_as_retention_goes_on))
    erase(services, first)
    content = administrator("GET", f"{location}/content").data
    assert (looks, b'"type":"seal"' in content) == (1, True)


@pytest.mark.usefixtures("small_pieces")
def test_whoever_reads_the_root_log_slowly_holds_no_connection(
    services: Services, administrator: SignedIn, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "CHUNK_ENTRIES", 1)
    for _ in range(2):
        a_revoked_credential(services, organisation)
        seal(services)

    path, headers = "/v1/ledger/root/entries", {"Authorization": f"Bearer {administrator.token}"}
    for _ in range(services.settings.pool_size_max):  # what is opened once and kept is open then
        assert administrator.client.get(path, headers=headers).data
    began = services.store.row("SELECT clock_timestamp() AS at")
    assert began is not None
    of_the_pool = services.store.pool.get_stats()["pool_size"]

    def nothing_is_held() -> bool:
        row = services.store.row(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND datname = current_database() AND backend_start > %(at)s",
            began,
        )
        assert row is not None
        new_in_the_pool = services.store.pool.get_stats()["pool_size"] - of_the_pool
        return nothing_is_taken(services) and row["count"] <= new_in_the_pool

    pieces = 0
    for _ in administrator.client.get(path, headers=headers).iter_encoded():
        pieces += 1
        until(nothing_is_held)  # what was opened and is closed ends a moment later
    assert pieces > 2


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", ["bundle", *EventFormat])
def test_how_far_a_download_is_can_be_read_while_it_goes_on(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: str
) -> None:
    a_revoked_credential(services, organisation)
    location = asked_for(administrator, services, exports)
    assert administrator("GET", location).json["downloads"] == []
    leaves = administrator("GET", location).json["leaves"]

    headers = {"Authorization": f"Bearer {administrator.token}"}
    begun = administrator.client.get(f"{location}/content?format={form}", headers=headers)
    taken, seen = iter(begun.iter_encoded()), set()
    for _ in taken:
        (download,) = administrator("GET", location).json["downloads"]
        assert (download["format"], download["leaves"]) == (form, leaves)
        assert (download["finished_at"], download["preparing"]) == (None, False)
        seen.add(download["leaves_done"])
    assert len(seen) > 1
    assert seen <= set(range(leaves + 1))
    (download,) = administrator("GET", location).json["downloads"]
    assert download["leaves_done"] == leaves
    assert download["started_at"] <= download["finished_at"] == download["reached_at"]

    administrator.client.get(f"{location}/content?format={form}", headers=headers).close()  # cut off at once
    (download,) = administrator("GET", location).json["downloads"]
    assert (download["finished_at"], download["leaves_done"] < leaves) == (None, True)


def test_fetching_a_file_is_a_reading_of_it_and_looking_at_the_list_is_none(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    noting = dataclasses.replace(services, readings=ReadingRecorder(services.store, 60))
    administrator.client.application.extensions["keyledger"] = noting
    location = asked_for(administrator, services, exports)
    administrator("GET", exports)
    administrator("GET", location)
    for form in ("bundle", "csv"):
        administrator("GET", f"{location}/content?format={form}")
    assert noting.readings is not None
    noting.readings.flush()
    noted = list_readings(services.store, organisation).rows
    assert [one["what"] for one in noted] == [["export"], ["export"]]
    assert {str(one["aggregate_id"]) for one in noted} == {location.rpartition("/")[2]}


def test_a_period_that_begins_on_the_last_day_there_is_has_no_events(
    services: Services, administrator: SignedIn, exports: str
) -> None:
    location = asked_for(administrator, services, exports, filter={"from": "9999-12-31T23:00:00Z"})
    for form in EventFormat:
        assert administrator("GET", f"{location}/content?format={form}").status_code == 200


@pytest.mark.parametrize("form", EventFormat)
def test_a_file_tells_its_length_so_that_a_cut_off_one_never_looks_whole(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str, form: EventFormat
) -> None:
    a_revoked_credential(services, organisation)
    catch_up(services)
    review = administrator("POST", f"/v1/organisations/{organisation}/access-reviews", {"reason": "audit"})
    export = asked_for(administrator, services, exports)
    catch_up(services)
    forms = {form, "html"} - {"ocsf"}
    files = [f"{export}/content?format={form}", *(f"{review.headers['Location']}/content?format={f}" for f in forms)]
    for file in files:
        answer = administrator("GET", file)
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(answer.data)))


@pytest.mark.usefixtures("small_pieces")
def test_how_far_the_first_look_at_a_file_is_can_be_read_too(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    exports: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_revoked_credential(services, organisation)
    location = asked_for(administrator, services, exports)
    seen = list[Any]()
    reached = export_progress.ExportProgress.reached

    def watched(progress: export_progress.ExportProgress, leaves_done: int) -> None:
        reached(progress, leaves_done)
        seen.append(administrator("GET", location).json["downloads"])

    monkeypatch.setattr(export_progress.ExportProgress, "reached", watched)
    administrator("GET", f"{location}/content?format=csv")
    told = [(download["preparing"], download["leaves_done"]) for (download,) in seen]
    leaves = administrator("GET", location).json["leaves"]
    assert told == [(preparing, done) for preparing in (True, False) for done in range(1, leaves + 1)]
