"""Exports over HTTP: asked for with a reason, fetched when sealed, gone on with where a download was cut off."""

import dataclasses
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from api.wiring import Services
from ledger.commands import DeclareRestore, EraseCredential
from ledger.tlog.bundle import type_of
from ledger.tlog.report import Report, Verdict
from ledger.tlog.verifying import verify
from ledger.values import EmailAddress, Role
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.audit.test_bundles import policy_of
from tests.projections.keeping_up import catch_up
from tests.projections.test_sealing import sealing, some_events


@pytest.fixture
def exports(organisation: UUID) -> str:
    """Where the organisation's exports are."""
    return f"/v1/organisations/{organisation}/exports"


def seal(services: Services) -> None:
    with sealing(services) as by_hand:
        by_hand.seal()


def fetched(services: Services, auditor: SignedIn, exports: str, **asked: Any) -> tuple[str, Report]:
    """The content of an export, and what an auditor finds in it."""
    organisation = UUID(exports.split("/")[3])
    location = auditor("POST", exports, {"reason": "audit", **asked}).headers["Location"]
    with sealing(services) as by_hand:
        by_hand.seal()
        content = auditor("GET", f"{location}/content").text
        return content, verify(content.encode().splitlines(keepends=True), policy_of(by_hand, organisation))


def test_an_export_is_asked_for_sealed_and_fetched(
    services: Services, sign_in: SignIn, organisation: UUID, exports: str
) -> None:
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    some_events(services, organisation, 2)
    begun = auditor("POST", exports, {"reason": "audit of 2026"})
    assert (begun.status_code, begun.json["status"], begun.json["leaves"]) == (201, "sealing", None)
    location = begun.headers["Location"]
    assert auditor("GET", location).json == begun.json
    early = auditor("GET", f"{location}/content")
    assert (early.status_code, early.json["code"]) == (503, "not_sealed_yet")

    seal(services)
    ready = auditor("GET", location).json
    assert (ready["status"], ready["reason"]) == ("ready", "audit of 2026")
    content = auditor("GET", f"{location}/content")
    assert content.headers["Content-Type"].startswith("application/x-ndjson")
    lines = content.text.encode().splitlines(keepends=True)
    assert [type_of(line) for line in lines] == ["manifest", "head", *["leaf"] * ready["leaves"], "seal"]
    with sealing(services) as by_hand:
        report = verify(lines, policy_of(by_hand, organisation))
    assert report.verdict is Verdict.OK
    assert report.manifest is not None
    assert report.manifest.requested_by == f"operator:{auditor.operator_id}"


def test_a_download_goes_on_where_it_was_cut_off_and_is_the_same_after_more_has_happened(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    some_events(services, organisation, 3)
    location = administrator("POST", exports, {"reason": "audit"}).headers["Location"]
    seal(services)
    first_fetched = administrator("GET", f"{location}/content")
    whole, same = first_fetched.text.splitlines(keepends=True), {"If-Match": first_fetched.headers["ETag"]}
    begin = sum(type_of(line.encode()) in ("manifest", "head") for line in whole)
    some_events(services, organisation, 3)
    seal(services)
    leaves = len(whole) - begin - 1
    for first in (1, 4, leaves):
        rest = administrator("GET", f"{location}/content?from={first}", headers=same).text.splitlines(keepends=True)
        again = [*whole[: begin + first], *rest]
        assert again[:-1] == whole[:-1]
        with sealing(services) as by_hand:  # the last line has the root log's newest checkpoint
            assert verify([line.encode() for line in again], policy_of(by_hand, organisation)).verdict is Verdict.OK
    beyond = administrator("GET", f"{location}/content?from={leaves + 1}", headers=same)
    assert (beyond.status_code, beyond.json["code"]) == (422, "out_of_range")


def test_a_download_goes_on_only_in_the_bundle_that_it_began_with(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    location = administrator("POST", exports, {"reason": "audit"}).headers["Location"]
    seal(services)
    begun = {"If-Match": administrator("GET", f"{location}/content").headers["ETag"]}
    without = administrator("GET", f"{location}/content?from=1")
    assert (without.status_code, without.json["code"]) == (428, "precondition_required")
    some_events(services, organisation)
    services.ledger.handle(DeclareRestore(context=given.context(reason="disk lost"), lost=("a checkpoint",)))
    seal(services)

    for first in (0, 1):
        other = administrator("GET", f"{location}/content?from={first}", headers=begun)
        assert (other.status_code, other.json["code"]) == (412, "stale_version")
    anew = {"If-Match": administrator("GET", f"{location}/content").headers["ETag"]}
    assert administrator("GET", f"{location}/content?from=1", headers=anew).status_code == 200


def test_a_download_does_not_go_on_over_what_was_erased_in_its_beginning(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    gone, _ = given.a_credential(services, organisation)
    location = administrator("POST", exports, {"reason": "audit", "personal": True}).headers["Location"]
    seal(services)
    begun = {"If-Match": administrator("GET", f"{location}/content").headers["ETag"]}
    assert administrator("GET", f"{location}/content?from=4", headers=begun).status_code == 200
    administrator("POST", f"/v1/organisations/{organisation}/credentials/{gone.id}/revoke", {})
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=gone.id))
    seal(services)
    assert administrator("GET", f"{location}/content?from=4", headers=begun).status_code == 412


def test_an_export_has_every_leaf_and_of_the_events_what_was_asked_for(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    credential, _ = given.a_credential(services, organisation)
    given.a_credential(services, organisation)
    _, everything = fetched(services, administrator, exports)
    _, one = fetched(services, administrator, exports, filter={"credential_ids": [str(credential.id)]})
    _, kinds = fetched(services, administrator, exports, filter={"topics": ["credential.created", "organisation"]})
    _, none = fetched(services, administrator, exports, filter={"to": "2020-01-01T00:00:00Z"})
    assert [report.verdict for report in (everything, one, kinds, none)] == [Verdict.OK] * 4
    assert everything.payloads == everything.leaves == 6
    assert [report.payloads for report in (one, kinds, none)] == [3, 4, 1]  # with the request itself
    assert [report.leaves for report in (one, kinds, none)] == [7, 8, 9]


def test_personal_data_is_there_where_it_is_asked_for_and_gone_where_it_was_erased(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    kept, _ = given.a_credential(services, organisation, contact_email=EmailAddress("kept@example.com"))
    gone, _ = given.a_credential(services, organisation, contact_email=EmailAddress("gone@example.com"))
    sealed, report = fetched(services, administrator, exports)
    assert "@example.com" not in sealed
    assert report.verdict is Verdict.OK
    told, report = fetched(services, administrator, exports, personal=True)
    assert "kept@example.com" in told
    assert "gone@example.com" in told
    assert (report.verdict, report.told) == (Verdict.OK, 2)

    revoked = administrator("POST", f"/v1/organisations/{organisation}/credentials/{gone.id}/revoke", {})
    assert revoked.status_code == 200
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=gone.id))
    after, report = fetched(services, administrator, exports, personal=True)
    assert "kept@example.com" in after
    assert "gone@example.com" not in after
    assert report.verdict is Verdict.ERASED
    assert str(kept.id) not in " ".join(finding.text for finding in report.findings)


def test_what_was_erased_since_an_export_was_fetched_is_proved_when_it_is_fetched_again(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    gone, _ = given.a_credential(services, organisation, contact_email=EmailAddress("gone@example.com"))
    location = administrator("POST", exports, {"reason": "audit", "personal": True}).headers["Location"]
    seal(services)
    assert "gone@example.com" in administrator("GET", f"{location}/content").text
    administrator("POST", f"/v1/organisations/{organisation}/credentials/{gone.id}/revoke", {})
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=gone.id))
    with sealing(services) as by_hand:
        by_hand.seal()
        content = administrator("GET", f"{location}/content").text.encode().splitlines(keepends=True)
        assert verify(content, policy_of(by_hand, organisation)).verdict is Verdict.ERASED


def test_no_hash_of_a_secret_is_told_in_clear(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    credential, _ = given.a_credential(services, organisation)
    content, _ = fetched(services, administrator, exports, personal=True)
    assert "argon2" not in content
    assert '"password_hash":"sealed' in content or '"password_hash":""' in content
    assert str(credential.id) in content


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, None),
        ({"reason": ""}, None),
        ({"reason": "x", "filter": {"topics": ["credential.stolen"]}}, "unknown_topic"),
        (
            {"reason": "x", "filter": {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}},
            "contradiction",
        ),
        ({"reason": "x", "filter": {"from": "2026-02-01T00:00:00"}}, None),
        ({"reason": "x", "personal": "yes"}, None),
        ({"reason": "x", "format": "csv"}, None),
    ],
)
def test_what_is_not_a_wish_is_refused(administrator: SignedIn, exports: str, body: Any, code: str | None) -> None:
    answer = administrator("POST", exports, body)
    assert answer.status_code == 422
    if code is not None:
        assert answer.json["errors"][0]["code"] == code


def test_another_organisations_export_is_not_there(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    other = given.an_organisation(services, "Other")
    of_other = given.an_export(services, other)
    for missing in (of_other, uuid4(), other):
        assert administrator("GET", f"{exports}/{missing}").status_code == 404
        assert administrator("GET", f"{exports}/{missing}/content").status_code == 404
    assert administrator("POST", exports.replace(str(organisation), str(uuid4())), {"reason": "x"}).status_code == 404


def test_where_hints_of_live_secrets_are_kept_back_exports_take_the_grant_for_production(
    app: Flask, services: Services, sign_in: SignIn, exports: str
) -> None:
    settings = dataclasses.replace(services.settings, production_hints="granted")
    app.extensions["keyledger"] = dataclasses.replace(services, settings=settings)
    assert sign_in(Role.AUDITOR, production=False)("POST", exports, {"reason": "audit"}).status_code == 403
    assert sign_in(Role.AUDITOR)("POST", exports, {"reason": "audit"}).status_code == 201


def test_exports_are_listed_newest_first_page_by_page_with_whether_they_can_be_fetched(
    services: Services, administrator: SignedIn, organisation: UUID, exports: str
) -> None:
    first = administrator("POST", exports, {"reason": "first", "filter": {"topics": ["credential"]}})
    given.an_export(services, given.an_organisation(services, "Other"))
    seal(services)
    second = administrator("POST", exports, {"reason": "second"})
    catch_up(services)

    newest = administrator("GET", f"{exports}?limit=1").json
    assert [(one["reason"], one["status"], one["leaves"]) for one in newest["data"]] == [("second", "sealing", None)]
    older = administrator("GET", f"{exports}?limit=1&cursor={newest['pagination']['cursor']}").json
    assert (older["data"], older["pagination"]["has_more"]) == (
        [administrator("GET", first.headers["Location"]).json],
        False,
    )
    assert older["data"][0]["status"] == "ready"

    seal(services)
    both = administrator("GET", exports).json["data"]
    assert both == [administrator("GET", each.headers["Location"]).json for each in (second, first)]
