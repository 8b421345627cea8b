"""S0, the create-credentials dialog: client id and secret for a responsible email, line by line."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.values import Kind, Role
from projections.runner import Projector
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn
from tests.cli.conftest import CommandLine
from tests.waiting import until_caught_up


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where the organisation's credentials are."""
    return f"/v1/organisations/{organisation}/credentials"


def create_credentials(administrator: SignedIn, credentials: str, **wanted: Any) -> Answer:
    """What the dialog's "Create" sends: a client for a responsible email with full access, unless otherwise wanted."""
    body = {
        "kind": "oauth_client",
        "mode": "live",
        "contact_email": "dev@example.com",
        "access_level": "full",
        **wanted,
    }
    return administrator("POST", credentials, {name: value for name, value in body.items() if value is not None})


def verdict(verifier: SignedIn, client: dict[str, Any], **asked: Any) -> str:
    """What a gateway is told of a client id and secret."""
    asked = {"secret": client["secret"], "public_id": client["public_id"], **asked}
    code: str = verifier("POST", "/v1/verify", asked).json["code"]
    return code


def found_by(administrator: SignedIn, credentials: str, **query: str) -> list[str]:
    """The ids that a list shows for a query."""
    return [row["id"] for row in administrator("GET", credentials, query_string=query).json["data"]]


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.AUDITOR, Role.VIEWER, Role.VERIFIER])
def test_s0_01_only_administrators_and_technical_operators_create(
    services: Services, sign_in: SignIn, organisation: UUID, credentials: str, role: Role
) -> None:
    member, head = sign_in(role, organisation_id=organisation), services.log.head()

    answer = create_credentials(member, credentials)

    allowed = role is Role.OPERATOR
    assert answer.status_code == (201 if allowed else 403)
    assert (services.log.head() > head) == allowed


def test_s0_01_a_stranger_is_not_told_whether_the_organisation_exists(
    sign_in: SignIn, services: Services, credentials: str
) -> None:
    elsewhere = sign_in(Role.ADMINISTRATOR, organisation_id=given.an_organisation(services, "Other"))
    assert create_credentials(elsewhere, credentials).status_code == 404


@pytest.mark.parametrize("email", ["dev", "dev@", "@example.com", "dev@example", "a b@example.com", "dev@-x.com"])
def test_s0_04_the_email_must_be_valid(
    services: Services, administrator: SignedIn, credentials: str, email: str
) -> None:
    head = services.log.head()

    refused = create_credentials(administrator, credentials, contact_email=email)

    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "contact_email")
    assert services.log.head() == head


def test_s0_04_credentials_are_found_by_the_email(
    services: Services, projector: Projector, administrator: SignedIn, credentials: str, keyledger: CommandLine
) -> None:
    theirs = create_credentials(administrator, credentials, contact_email="Sync.Box@Example.com").json["id"]
    create_credentials(administrator, credentials, contact_email="someone.else@example.com")
    until_caught_up(services)

    assert found_by(administrator, credentials, contact_email="sync.box@example.com") == [theirs]
    assert found_by(administrator, credentials, q="sync.box") == [theirs]
    organisation = credentials.split("/")[3]
    listed = keyledger.ok(
        "credential", "list", "--organisation", organisation, "--contact-email", "sync.box@example.com", "--json"
    ).json
    assert [row["id"] for row in listed["data"]] == [theirs]


def test_s0_05_full_is_every_scope_of_the_catalogue_as_it_stands_at_creation(
    services: Services, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    both = ["live", "test"]
    given.a_catalogue(services, organisation, {"order:view": both, "order:edit": both}, {})
    client = create_credentials(administrator, credentials).json
    assert (client["access_level"], set(client["scopes"])) == ("full", {"order:view", "order:edit"})

    given.a_catalogue(services, organisation, {"order:view": both, "order:edit": both, "ticket:view": both}, {})

    assert administrator("GET", f"{credentials}/{client['id']}").json["scopes"] == client["scopes"]
    assert "ticket:view" in create_credentials(administrator, credentials).json["scopes"]


def test_s0_05_fine_grained_is_the_chosen_scopes(administrator: SignedIn, verifier: SignedIn, credentials: str) -> None:
    chosen = {"access_level": "fine_grained", "scopes": ["customer:view"]}
    client = create_credentials(administrator, credentials, **chosen).json

    assert (client["access_level"], client["scopes"]) == ("fine_grained", ["customer:view"])
    assert verdict(verifier, client, scopes=["customer:view"]) == "VALID"
    assert verdict(verifier, client, scopes=["customer:edit"]) == "INSUFFICIENT_SCOPE"


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"kind": None}, "kind"),
        ({"contact_email": "nobody"}, "contact_email"),
        ({"access_level": "some"}, "access_level"),
        ({"access_level": "fine_grained"}, "scopes"),
        ({"access_level": "fine_grained", "scopes": []}, "scopes"),
        ({"access_level": "fine_grained", "scopes": ["customer:fly"]}, "scopes"),
    ],
)
def test_s0_06_nothing_is_created_until_the_fields_are_complete_and_valid(
    services: Services, administrator: SignedIn, credentials: str, wanted: dict[str, Any], field: str
) -> None:
    head = services.log.head()

    refused = create_credentials(administrator, credentials, **wanted)

    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"].startswith(field)
    assert services.log.head() == head


def test_s0_07_what_is_not_confirmed_records_no_event(
    services: Services, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    """The dialog looks at the catalogue and previews what is chosen; only "Create" is a command."""
    head = services.log.head()
    administrator("GET", f"/v1/organisations/{organisation}/catalogue")
    previewed = administrator(
        "POST", f"/v1/organisations/{organisation}/catalogue/preview", {"mode": "live", "access_level": "full"}
    )
    assert previewed.status_code == 200
    assert services.log.head() == head
    assert found_by(administrator, credentials) == []


def test_s0_08_client_id_and_client_secret_are_shown_once(
    services: Services, projector: Projector, administrator: SignedIn, credentials: str
) -> None:
    answer = create_credentials(administrator, credentials)
    client = answer.json
    assert client["public_id"]
    assert client["secret"]
    assert answer.headers["Cache-Control"] == "no-store"
    until_caught_up(services)

    of_one = f"{credentials}/{client['id']}"
    for path in (of_one, f"{of_one}/events", credentials):
        shown = administrator("GET", path)
        assert shown.status_code == 200
        assert client["secret"] not in shown.text
    assert administrator("GET", of_one).json["public_id"] == client["public_id"]


def test_s0_09_unused_and_overdue_credentials_are_listed_so_that_they_are_rotated_or_revoked(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    now = datetime.now(UTC)
    old, _ = given.a_credential(
        services, organisation, kind=Kind.OAUTH_CLIENT, context=given.context(now - timedelta(days=91))
    )
    new = create_credentials(administrator, credentials).json["id"]
    until_caught_up(services)
    a_month_ago = (now - timedelta(days=30)).isoformat()
    assert found_by(administrator, credentials, overdue="true") == [str(old.id)]
    assert found_by(administrator, credentials, unused_since=a_month_ago) == [str(old.id)]

    rotated = administrator("POST", f"{credentials}/{old.id}/rotate", {}).status_code
    revoked = administrator("POST", f"{credentials}/{new}/revoke", {"revocation_reason": "no_longer_used"}).status_code

    assert (rotated, revoked) == (200, 200)
    until_caught_up(services)
    assert found_by(administrator, credentials, overdue="true") == []


def test_s0_10_the_credential_authenticates_an_external_system_for_reading_and_changing_as_its_scopes_allow(
    administrator: SignedIn, verifier: SignedIn, credentials: str
) -> None:
    reading = {"access_level": "fine_grained", "preset": "read_only"}
    reads = create_credentials(administrator, credentials, **reading).json
    changes = create_credentials(administrator, credentials).json

    assert verdict(verifier, reads, scopes=["merchant_account:view"]) == "VALID"
    assert verdict(verifier, reads, scopes=["merchant_account:edit"]) == "INSUFFICIENT_SCOPE"
    assert verdict(verifier, changes, scopes=["merchant_account:view", "merchant_account:edit"]) == "VALID"
    somebody_elses = {**reads, "public_id": changes["public_id"]}
    assert verdict(verifier, somebody_elses) != "VALID"
