"""S1, the Partner API page: what an organisation's external systems hold, line by line."""

from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.values import Role
from projections.runner import Projector
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.waiting import until_caught_up


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where the organisation's credentials are."""
    return f"/v1/organisations/{organisation}/credentials"


def connected(administrator: SignedIn, credentials: str, **wanted: Any) -> dict[str, Any]:
    """A client of an external system, as its creation was answered."""
    body = {
        "kind": "oauth_client",
        "mode": "live",
        "name": "Partner",
        "contact_email": "dev@example.com",
        "preset": "full_access",
    }
    answer = administrator("POST", credentials, body | wanted)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def verdict(verifier: SignedIn, client: dict[str, Any], **asked: Any) -> str:
    """What a gateway is told of a client id and secret."""
    asked = {"secret": client["secret"], "public_id": client["public_id"], **asked}
    code: str = verifier("POST", "/v1/verify", asked).json["code"]
    return code


def test_s1_02_the_documentation_is_served_and_tells_requests_and_answers(administrator: SignedIn) -> None:
    page = administrator("GET", "/docs")
    document = administrator("GET", "/openapi.json").json
    creating = document["paths"]["/v1/organisations/{organisation_id}/credentials"]["post"]

    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert creating["requestBody"]["content"]["application/json"]["examples"]
    assert {"201", "401", "403", "422"} <= set(creating["responses"])


def test_s1_05_the_list_shows_entries_with_identifier_creation_date_and_status(
    services: Services, projector: Projector, administrator: SignedIn, credentials: str
) -> None:
    assert administrator("GET", credentials).json == {
        "data": [],
        "pagination": {"has_more": False, "cursor": None},
    }
    first, second = connected(administrator, credentials), connected(administrator, credentials, name="Second")
    administrator("POST", f"{credentials}/{first['id']}/revoke", {})
    until_caught_up(services)

    shown = administrator("GET", credentials).json["data"]

    assert [(row["name"], row["public_id"], row["created_at"], row["status"]) for row in shown] == [
        ("Second", second["public_id"], second["created_at"], "active"),
        ("Partner", first["public_id"], first["created_at"], "revoked"),
    ]


def test_s1_06_an_entrys_details_are_viewed_its_keys_regenerated_its_access_managed_and_it_is_revoked(
    administrator: SignedIn, verifier: SignedIn, organisation: UUID, credentials: str
) -> None:
    client = connected(administrator, credentials)
    path = f"{credentials}/{client['id']}"
    assert administrator("GET", path).json["name"] == "Partner"

    regenerated = administrator("POST", f"{path}/rotate", {"overlap_seconds": 0}).json
    assert regenerated["public_id"] == client["public_id"]
    assert verdict(verifier, client) == "EXPIRED"  # the replaced secret is told from a wrong one
    assert verdict(verifier, regenerated) == "VALID"

    restricted = administrator("PUT", f"{path}/allowlist", {"allowlist": ["203.0.113.0/24"]}, {"If-Match": "*"})
    assert restricted.status_code == 200
    assert verdict(verifier, regenerated, client_ip="198.51.100.1") == "IP_NOT_ALLOWED"
    assert verdict(verifier, regenerated, client_ip="203.0.113.7") == "VALID"

    owner = administrator("PATCH", path, {"contact_email": "new.owner@example.com"}, {"If-Match": "*"})
    assert owner.json["contact_email"] == "new.owner@example.com"

    revoked = administrator("POST", f"{path}/revoke", {"revocation_reason": "compromised"}).json
    assert (revoked["status"], revoked["revocation_reason"]) == ("revoked", "compromised")
    assert verdict(verifier, regenerated, client_ip="203.0.113.7") == "REVOKED"


def test_s1_06_the_connected_apis_of_an_entry_are_its_applications(
    services: Services, administrator: SignedIn, verifier: SignedIn, organisation: UUID, credentials: str
) -> None:
    offered = {"order:view": ["live"], "payout:view": ["live"]}
    given.a_catalogue(services, organisation, offered, {"orders": ["order:view"], "payouts": ["payout:view"]})
    application = given.an_application(services, organisation, "orders", "payouts")
    client = connected(administrator, credentials, application_id=str(application), preset="read_only")
    assert verdict(verifier, client, scopes=["payout:view"]) == "VALID"

    path = f"/v1/organisations/{organisation}/applications/{application}"
    narrowed = administrator("PUT", f"{path}/apis", {"apis": ["orders"]}, {"If-Match": "*"})

    assert narrowed.status_code == 200, narrowed.text
    assert verdict(verifier, client, scopes=["payout:view"]) == "INSUFFICIENT_SCOPE"
    assert verdict(verifier, client, scopes=["order:view"]) == "VALID"


def test_s1_07_creating_gives_a_client_id_a_client_secret_and_access_tokens(
    administrator: SignedIn, verifier: SignedIn, credentials: str
) -> None:
    client = connected(administrator, credentials)
    assert client["public_id"] != client["secret"]
    assert verdict(verifier, client) == "VALID"
    assert verdict(verifier, client | {"public_id": connected(administrator, credentials)["public_id"]}) != "VALID"

    grant = {"grant_type": "client_credentials"}
    answer = verifier.client.post("/oauth2/token", data=grant, auth=(client["public_id"], client["secret"]))
    assert answer.status_code == 200, answer.text
    token = answer.get_json()["access_token"]

    def active() -> bool:
        told = verifier.client.post(
            "/oauth2/introspect", data={"token": token}, headers={"Authorization": f"Bearer {verifier.token}"}
        )
        found: bool = told.get_json()["active"]
        return found

    assert active()
    administrator("POST", f"{credentials}/{client['id']}/revoke", {"revocation_reason": "compromised"})
    assert not active()


def test_s1_08_a_successor_is_linked_to_what_it_supersedes_and_both_are_good_meanwhile(
    administrator: SignedIn, verifier: SignedIn, credentials: str
) -> None:
    old = connected(administrator, credentials)
    new = connected(administrator, credentials, name="Partner, new system", supersedes=old["id"])
    assert new["supersedes"] == old["id"]
    assert administrator("GET", f"{credentials}/{new['id']}").json["supersedes"] == old["id"]
    assert verdict(verifier, old) == verdict(verifier, new) == "VALID"

    administrator("POST", f"{credentials}/{old['id']}/revoke", {"revocation_reason": "superseded"})

    assert (verdict(verifier, old), verdict(verifier, new)) == ("REVOKED", "VALID")


def test_s1_08_a_successor_of_another_organisations_credential_is_refused(
    services: Services, administrator: SignedIn, credentials: str
) -> None:
    theirs, _ = given.a_credential(services, given.an_organisation(services, "Other"))
    head = services.log.head()

    body = {"kind": "oauth_client", "mode": "live", "preset": "read_only", "supersedes": str(theirs.id)}
    refused = administrator("POST", credentials, body)

    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "supersedes")
    assert services.log.head() == head


def test_s1_09_permissions_are_restricted_for_each_integration(
    administrator: SignedIn, verifier: SignedIn, credentials: str
) -> None:
    chosen = {"access_level": "fine_grained", "preset": None}
    reports = connected(administrator, credentials, **chosen, scopes=["payment_statement:view"])
    shop = connected(administrator, credentials, **chosen, scopes=["customer:view", "customer:edit"])
    for client, may, may_not in (
        (reports, "payment_statement:view", "customer:view"),
        (shop, "customer:edit", "payment_statement:view"),
    ):
        assert verdict(verifier, client, scopes=[may]) == "VALID"
        assert verdict(verifier, client, scopes=[may_not]) == "INSUFFICIENT_SCOPE"


@pytest.mark.parametrize("scope", ["scan_app:edit", "event_configuration:edit", "entrance_plan:view", "internal:edit"])
def test_s1_10_what_it_does_not_govern_cannot_be_asked_for_and_never_enters_a_catalogue(
    services: Services, administrator: SignedIn, organisation: UUID, credentials: str, scope: str
) -> None:
    head, catalogue = services.log.head(), f"/v1/organisations/{organisation}/catalogue"
    asked = administrator("POST", credentials, {"kind": "oauth_client", "mode": "live", "scopes": [scope]})
    assert (asked.status_code, asked.json["code"]) == (422, "excluded_scope")

    changed = {"groups": given.groups({scope: ["live"]}), "apis": []}
    offered = administrator("PUT", catalogue, changed, {"If-Match": "*"})
    assert (offered.status_code, offered.json["code"]) == (422, "excluded_scope")

    assert services.log.head() == head


@pytest.mark.parametrize(
    ("role", "sees", "creates"),
    [
        (Role.ADMINISTRATOR, 200, 201),
        (Role.OPERATOR, 200, 201),
        (Role.AUDITOR, 200, 403),
        (Role.VIEWER, 200, 403),
        (Role.VERIFIER, 403, 403),
    ],
)
def test_s1_11_only_authorised_technical_roles_may_enter(
    sign_in: SignIn, organisation: UUID, credentials: str, role: Role, sees: int, creates: int
) -> None:
    member = sign_in(role, organisation_id=organisation)
    assert member("GET", credentials).status_code == sees
    body = {"kind": "oauth_client", "mode": "live", "contact_email": "dev@example.com", "preset": "read_only"}
    assert member("POST", credentials, body).status_code == creates


def test_s1_11_nobody_enters_unannounced(administrator: SignedIn, credentials: str) -> None:
    answer = administrator.client.get(credentials)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
