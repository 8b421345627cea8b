"""Bulk revocation over HTTP: what is shown is what is confirmed, and that is what is revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from api.bulk_revoking import sweep_bulk_revocations
from api.schemas.bulk_revocations import NAMED_MAX
from api.wiring import Services
from ledger import bulk_revocation
from ledger.commands import RevokeCredential
from ledger.secrets import new_public_id
from ledger.values import Channel, EmailAddress, Environment, Kind, Login, Mode, PublicId, Role
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn


@pytest.fixture
def runs(organisation: UUID) -> str:
    """Where the organisation's bulk revocations are."""
    return f"/v1/organisations/{organisation}/bulk-revocations"


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where its credentials are."""
    return f"/v1/organisations/{organisation}/credentials"


def look(administrator: SignedIn, runs: str, **chosen: Any) -> Answer:
    """A dry run."""
    return administrator(
        "POST", runs, {"filter": chosen, "revocation_reason": "compromised", "dry_run": True, "reason": "INC-7"}
    )


def confirm(administrator: SignedIn, runs: str, digest: str, headers: Any = None, **chosen: Any) -> Answer:
    """Its confirmation."""
    body = {"filter": chosen, "revocation_reason": "compromised", "digest": digest, "reason": "INC-7"}
    return administrator("POST", runs, body, headers)


def test_a_dry_run_shows_what_it_covers_and_records_nothing(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str
) -> None:
    ada = EmailAddress("ada@example.com")
    theirs = sorted(str(given.a_credential(services, organisation, contact_email=ada)[0].id) for _ in range(3))
    given.a_credential(services, organisation)
    given.a_credential(services, given.an_organisation(services, "Other"), contact_email=ada)
    head = services.log.head()

    shown = look(administrator, runs, contact_email="Ada@Example.com")

    assert (shown.status_code, shown.json["count"], shown.json["truncated"]) == (200, 3, False)
    assert [one["id"] for one in shown.json["credentials"]] == theirs
    assert services.log.head() == head


def test_what_is_confirmed_by_its_digest_is_revoked_each_with_an_entry_of_its_own(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str, credentials: str
) -> None:
    keys = [given.a_credential(services, organisation)[0].id for _ in range(3)]
    chosen = {"ids": [str(key) for key in keys[:2]]}
    begun = confirm(administrator, runs, look(administrator, runs, **chosen).json["digest"], **chosen)

    assert begun.status_code == 201
    run = begun.headers["Location"]
    assert (begun.json["status"], begun.json["total"], begun.json["remaining"]) == ("running", 2, 2)
    assert begun.json["selection"] == {"ids": "2 named"}
    while sweep_bulk_revocations(services):
        pass

    done = administrator("GET", run).json
    assert (done["status"], done["revoked"], done["skipped"], done["remaining"]) == ("finished", 2, 0, 0)
    assert administrator("GET", runs).json["data"] == [done]
    for key in keys[:2]:
        last = administrator("GET", f"{credentials}/{key}/events").json["data"][-1]
        assert (last["topic"], last["reason"], last["via"]) == ("credential.revoked", "INC-7", "system")
        assert last["actor"] == f"operator:{administrator.operator_id}"
    assert administrator("GET", f"{credentials}/{keys[2]}").json["status"] == "active"


@pytest.mark.parametrize("change", ["created", "revoked", "other filter", "other reason", "nothing of ours"])
def test_what_changed_since_the_dry_run_is_refused_and_records_nothing(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str, change: str
) -> None:
    first, _ = given.a_credential(services, organisation)
    given.a_credential(services, organisation)
    digest = look(administrator, runs, mode="live").json["digest"]
    chosen, reason = {"mode": "live"}, "compromised"
    match change:
        case "created":
            given.a_credential(services, organisation)
        case "revoked":
            services.ledger.handle(RevokeCredential(context=given.context(), credential_id=first.id))
        case "other filter":
            chosen = {"kind": "api_key"}
        case "other reason":
            reason = "owner_left"
        case "nothing of ours":
            digest = "0" * 64
    head = services.log.head()

    refused = administrator("POST", runs, {"filter": chosen, "revocation_reason": reason, "digest": digest})

    assert (refused.status_code, refused.json["code"]) == (409, "selection_changed")
    assert services.log.head() == head


def test_a_retry_under_the_same_key_gets_the_same_run(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str
) -> None:
    given.a_credential(services, organisation)
    digest = look(administrator, runs, mode="live").json["digest"]
    key = {"Idempotency-Key": "leak-7"}
    first = confirm(administrator, runs, digest, key, mode="live")
    while sweep_bulk_revocations(services):
        pass
    again = confirm(administrator, runs, digest, key, mode="live")

    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(administrator("GET", runs).json["data"]) == 1


def test_every_part_of_a_filter_covers_its_own_and_all_of_them_must_hold(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str
) -> None:
    account = given.an_account(services, organisation)
    application = given.an_application(services, organisation)
    now = datetime.now(UTC)
    wanted: dict[str, tuple[dict[str, Any], Any]] = {
        "contact_email": ({"contact_email": EmailAddress("ada@example.com")}, "ada@example.com"),
        "account_id": ({"account_id": account}, str(account)),
        "application_id": ({"application_id": application}, str(application)),
        "label": ({"labels": {"team": "payments"}}, {"name": "team", "value": "payments"}),
        "public_ids": ({"kind": Kind.KEY_PAIR, "public_id": PublicId("pk_live_7")}, ["pk_live_7"]),
        "kind": ({"kind": Kind.OAUTH_CLIENT}, "oauth_client"),
        "mode": ({"mode": Mode.TEST}, "test"),
        "environment": ({"environment": Environment.PRODUCTION}, "production"),
        "channel": (
            {"kind": Kind.CHANNEL_LOGIN, "channel": Channel.FTP, "login": Login("ada")},
            "ftp",
        ),
        "created_before": (
            {"context": given.context(now - timedelta(days=400))},
            (now - timedelta(days=300)).isoformat(),
        ),
    }
    ids = {
        name: str(given.a_credential(services, organisation, **changes)[0].id) for name, (changes, _) in wanted.items()
    }
    for name, (_, value) in wanted.items():
        covered = look(administrator, runs, **{name: value}).json["credentials"]
        assert [one["id"] for one in covered] == [ids[name]], name
    assert [one["id"] for one in look(administrator, runs, public_ids=["ADA"]).json["credentials"]] == [ids["channel"]]
    assert look(administrator, runs, public_ids=["PK_live_7"]).json["count"] == 0  # unlike a login, another one
    assert look(administrator, runs, ids=[ids["mode"]], mode="live").json["count"] == 0
    assert look(administrator, runs, ids=[ids["mode"]], mode="test").json["count"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"filter": {}}, "filter"),
        ({"filter": {"contact_email": "nobody"}}, "filter.contact_email"),
        ({"filter": {"ids": []}}, "filter.ids"),
        ({"filter": {"ids": ["7"]}}, "filter.ids.0"),
        ({"filter": {"labels": {}}}, "filter.labels"),
        ({"filter": {"label": {"name": "te\0am", "value": "payments"}}}, "filter.label.name"),
        ({"filter": {"label": {"name": "team", "value": "pay\0ments"}}}, "filter.label.value"),
        ({"filter": {"public_ids": ["pk_live_7", "pk_\0live"]}}, "filter.public_ids.1"),
        ({"filter": {"mode": "both"}}, "filter.mode"),
        ({"filter": {"mode": "live"}, "revocation_reason": "bored"}, "revocation_reason"),
        ({"filter": {"mode": "live"}, "dry_run": False}, "digest"),
        ({"filter": {"mode": "live"}, "digest": "d" * 64, "dry_run": True}, "digest"),
        ({"filter": {"mode": "live"}, "digest": "short"}, "digest"),
        ({"filter": {"mode": "live"}, "dry_run": "yes"}, "dry_run"),
        ({}, "filter"),
    ],
)
def test_what_is_wrong_is_named(
    services: Services, administrator: SignedIn, runs: str, body: dict[str, Any], field: str
) -> None:
    head = services.log.head()
    refused = administrator("POST", runs, {"revocation_reason": "compromised", **body})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, field)
    assert services.log.head() == head


def test_as_many_as_may_be_named_fit_a_body_of_the_default_bound(administrator: SignedIn, runs: str) -> None:
    assert look(administrator, runs, ids=[str(uuid7()) for _ in range(NAMED_MAX)]).status_code == 200
    public_ids = [new_public_id(Kind.OAUTH_CLIENT, Mode.LIVE) for _ in range(NAMED_MAX)]
    assert look(administrator, runs, public_ids=public_ids).status_code == 200
    assert look(administrator, runs, public_ids=[*public_ids, "pk_live_7"]).status_code == 422


def test_nothing_covered_is_nothing_to_confirm(administrator: SignedIn, runs: str) -> None:
    looked = look(administrator, runs, mode="test").json
    assert (looked["count"], looked["credentials"]) == (0, [])
    assert confirm(administrator, runs, looked["digest"], mode="test").json["code"] == "nothing_changed"


def test_more_than_one_run_takes_is_told_before_anything_is_confirmed(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_revocation, "CREDENTIALS_MAX", 2)
    for _ in range(3):
        given.a_credential(services, organisation)
    refused = look(administrator, runs, mode="live")
    assert (refused.status_code, refused.json["code"]) == (422, "selection_too_large")


def test_live_credentials_take_the_grant_for_production_to_look_at_and_to_revoke(
    services: Services, sign_in: SignIn, administrator: SignedIn, organisation: UUID, runs: str
) -> None:
    given.a_credential(services, organisation)
    given.a_credential(services, organisation, mode=Mode.TEST)
    without = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    digest = look(administrator, runs, kind="api_key").json["digest"]

    assert look(without, runs, kind="api_key").status_code == 403
    assert confirm(without, runs, digest, kind="api_key").status_code == 403
    assert look(without, runs, mode="test").json["count"] == 1


def test_another_organisations_run_is_not_found(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str
) -> None:
    given.a_credential(services, organisation)
    run = confirm(administrator, runs, look(administrator, runs, mode="live").json["digest"], mode="live").json["id"]
    other = given.an_organisation(services, "Other")
    assert administrator("GET", f"/v1/organisations/{other}/bulk-revocations/{run}").status_code == 404
    assert administrator("GET", f"{runs}/{uuid7()}").status_code == 404


def test_runs_are_listed_page_by_page_newest_first(
    services: Services, administrator: SignedIn, organisation: UUID, runs: str
) -> None:
    begun = []
    for _ in range(3):
        key = str(given.a_credential(services, organisation)[0].id)
        digest = look(administrator, runs, ids=[key]).json["digest"]
        begun.append(confirm(administrator, runs, digest, ids=[key]).json["id"])
    first = administrator("GET", runs, query_string={"limit": 2}).json
    assert first["pagination"]["has_more"] is True
    rest = administrator("GET", runs, query_string={"limit": 2, "cursor": first["pagination"]["cursor"]}).json
    assert [one["id"] for one in first["data"] + rest["data"]] == begun[::-1]
