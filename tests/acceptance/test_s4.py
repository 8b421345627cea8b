"""S4, applications: connected to APIs, with key pairs for each environment, line by line."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.values import Environment, Kind, Role
from projections.runner import Projector
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn
from tests.cli.conftest import CommandLine
from tests.waiting import until_caught_up


@pytest.fixture
def applications(services: Services, organisation: UUID) -> str:
    """Where the applications of an organisation with two APIs are."""
    both = ["live", "test"]
    given.a_catalogue(
        services,
        organisation,
        {"order:view": both, "order:edit": both, "payout:view": both},
        {"orders": ["order:view", "order:edit"], "payouts": ["payout:view"]},
    )
    return f"/v1/organisations/{organisation}/applications"


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where its credentials are."""
    return f"/v1/organisations/{organisation}/credentials"


def new_app(administrator: SignedIn, applications: str, **wanted: Any) -> Answer:
    """What "New App" ends with: fields, APIs, and "Connect and Generate Keys"."""
    body = {"title": "Ledger sync", "apis": ["orders"], "generate": {"environment": "development"}, **wanted}
    return administrator("POST", applications, {name: value for name, value in body.items() if value is not None})


def generate_key(administrator: SignedIn, credentials: str, application: str, environment: str, **more: Any) -> Answer:
    """What "Generate Key" in the Access Keys tab does."""
    body = {
        "kind": "key_pair",
        "environment": environment,
        "access_level": "full",
        "application_id": application,
        **more,
    }
    return administrator("POST", credentials, body)


def access_keys(services: Services, administrator: SignedIn, credentials: str, application: str, **more: Any) -> Any:
    """The rows of an application's Access Keys tab."""
    until_caught_up(services)
    return administrator("GET", credentials, query_string={"application": application, **more}).json["data"]


def verdict(verifier: SignedIn, pair: dict[str, Any], **asked: Any) -> Any:
    """What a gateway is told of a pair."""
    return verifier("POST", "/v1/verify", {"secret": pair["secret"], "public_id": pair["public_id"], **asked}).json[
        "code"
    ]


def test_s4_01_required_fields_then_apis_then_connect_and_generate_in_one_commit(
    services: Services, administrator: SignedIn, verifier: SignedIn, applications: str
) -> None:
    head = services.log.head()
    for wrong, code in (
        ({"title": None}, "missing_field"),
        ({"apis": ["invoices"]}, "unknown_api"),
        ({"generate": {"environment": "development", "scopes": ["payout:view"]}}, "beyond_ceiling"),
        ({"apis": []}, "beyond_ceiling"),
    ):
        refused = new_app(administrator, applications, **wrong)
        assert (refused.status_code, refused.json["code"]) == (422, code)
    assert services.log.head() == head  # no application without its keys is left behind

    app = new_app(administrator, applications)

    assert app.status_code == 201
    assert app.json["apis"] == ["orders"]
    pair = app.json["credential"]
    assert (pair["application_id"], pair["scopes"]) == (app.json["id"], ["order:edit", "order:view"])
    assert verdict(verifier, {**pair, "secret": app.json["secret"]}) == "VALID"


def test_s4_01_a_retry_gets_the_same_application_and_the_same_keys(
    services: Services, administrator: SignedIn, applications: str
) -> None:
    headers = {"Idempotency-Key": "one"}
    body = {"title": "Ledger sync", "apis": ["orders"], "generate": {"environment": "staging"}}
    first = administrator("POST", applications, body, headers)
    head = services.log.head()
    again = administrator("POST", applications, body, headers)

    assert (again.status_code, again.text) == (201, first.text)
    assert again.headers["Keyledger-Position"] == first.headers["Keyledger-Position"] == str(head)
    assert services.log.head() == head


def test_s4_02_the_answer_holds_the_shared_key_and_the_secret_key_to_copy_now(
    administrator: SignedIn, applications: str
) -> None:
    app = new_app(administrator, applications).json
    assert app["credential"]["public_id"]
    assert app["secret"].startswith("kl_key_pair_test_")
    assert app["secret"] not in administrator("GET", f"{applications}/{app['id']}").text


def test_s4_02_the_command_line_prints_the_secret_key_alone(
    keyledger: CommandLine, organisation: UUID, applications: str
) -> None:
    made = keyledger.ok(
        "application", "register", "Sync", "--organisation", organisation, "--api", "orders", "--generate", "staging"
    )
    assert made.out.startswith("kl_key_pair_test_")
    assert "shared key" in made.err


def test_s4_03_the_new_pair_is_among_the_access_keys(
    services: Services, projector: Projector, administrator: SignedIn, applications: str, credentials: str
) -> None:
    app = new_app(administrator, applications).json
    [row] = access_keys(services, administrator, credentials, app["id"])
    assert row["id"] == app["credential"]["id"]


def test_s4_04_a_grid_of_cards_with_title_and_description(
    administrator: SignedIn, applications: str, keyledger: CommandLine, organisation: UUID
) -> None:
    for title, description in (("Ledger sync", "Books payouts."), ("Shop", "Sells.")):
        new_app(administrator, applications, title=title, description=description)

    cards = administrator("GET", applications).json["data"]

    assert [(card["title"], card["description"]) for card in cards] == [
        ("Shop", "Sells."),
        ("Ledger sync", "Books payouts."),
    ]
    assert keyledger.ok("application", "list", "--organisation", organisation, "--json").json["data"] == cards


def test_s4_05_details_have_the_information_all_credentials_and_all_connected_apis(
    services: Services, projector: Projector, administrator: SignedIn, applications: str, credentials: str
) -> None:
    app = new_app(administrator, applications, apis=["orders", "payouts"], description="Books payouts.").json
    generate_key(administrator, credentials, app["id"], "staging")

    found = administrator("GET", f"{applications}/{app['id']}").json

    assert (found["id"], found["title"], found["description"]) == (app["id"], "Ledger sync", "Books payouts.")
    assert [(api["name"], api["scopes"]) for api in found["connected_apis"]] == [
        ("orders", ["order:edit", "order:view"]),
        ("payouts", ["payout:view"]),
    ]
    assert len(access_keys(services, administrator, credentials, app["id"])) == 2


def test_s4_06_many_pairs_with_public_shared_keys_and_secrets_visible_only_when_generated(
    services: Services, projector: Projector, administrator: SignedIn, applications: str, credentials: str
) -> None:
    app = new_app(administrator, applications).json
    made = [generate_key(administrator, credentials, app["id"], "development").json for _ in range(3)]

    rows = access_keys(services, administrator, credentials, app["id"])

    assert {row["public_id"] for row in rows} == {app["credential"]["public_id"], *(pair["public_id"] for pair in made)}
    assert len({pair["secret"] for pair in made}) == 3
    assert not any(pair["secret"] in str(rows) for pair in [*made, app])


@pytest.mark.parametrize(
    ("environment", "mode"), [("development", "test"), ("staging", "test"), ("production", "live")]
)
def test_s4_07_a_key_is_generated_for_each_environment(
    administrator: SignedIn,
    verifier: SignedIn,
    applications: str,
    credentials: str,
    environment: str,
    mode: str,
) -> None:
    app = new_app(administrator, applications, generate=None).json
    pair = generate_key(administrator, credentials, app["id"], environment).json
    assert (pair["environment"], pair["mode"]) == (environment, mode)
    assert verdict(verifier, pair, mode=mode) == "VALID"


def test_s4_07_a_key_is_generated_for_rotation_and_for_a_compromise(
    administrator: SignedIn, verifier: SignedIn, applications: str, credentials: str
) -> None:
    app = new_app(administrator, applications).json
    old = {**app["credential"], "secret": app["secret"]}
    path = f"{credentials}/{old['id']}"

    rotated = administrator("POST", f"{path}/rotate", {"overlap_seconds": 3600}).json
    assert (verdict(verifier, old), verdict(verifier, rotated)) == ("VALID", "VALID")
    administrator("POST", f"{path}/revoke", {"revocation_reason": "compromised"})
    successor = generate_key(administrator, credentials, app["id"], "development", supersedes=old["id"]).json
    assert (verdict(verifier, rotated), verdict(verifier, successor)) == ("REVOKED", "VALID")
    assert successor["supersedes"] == old["id"]


def test_s4_08_revoke_now_after_a_grace_period_or_keep_and_never_back(
    administrator: SignedIn, verifier: SignedIn, applications: str, credentials: str
) -> None:
    app = new_app(administrator, applications).json
    now, later, kept = (generate_key(administrator, credentials, app["id"], "staging").json for _ in range(3))
    end = (datetime.now(UTC) + timedelta(days=7)).isoformat()

    assert administrator("POST", f"{credentials}/{now['id']}/revoke").json["status"] == "revoked"
    grace = administrator("POST", f"{credentials}/{later['id']}/revoke", {"effective_at": end}).json
    assert (grace["status"], grace["revoked_at"][:10]) == ("active", end[:10])

    assert [verdict(verifier, pair) for pair in (now, later, kept)] == ["REVOKED", "VALID", "VALID"]
    for action in ("resume", "rotate", "revoke"):
        again = administrator("POST", f"{credentials}/{now['id']}/{action}")
        assert (again.status_code, again.json["code"]) == (409, "credential_revoked")


def test_s4_09_the_table_shows_status_shared_key_masked_secret_creation_and_id(
    services: Services, projector: Projector, administrator: SignedIn, applications: str, credentials: str
) -> None:
    app = new_app(administrator, applications).json
    other = generate_key(administrator, credentials, app["id"], "staging").json
    administrator("POST", f"{credentials}/{other['id']}/revoke")

    revoked, active = access_keys(services, administrator, credentials, app["id"])

    assert (active["active"], revoked["active"]) == (True, False)
    assert active["public_id"] == app["credential"]["public_id"]
    assert active["secrets"][0]["hint"] == app["secret"][-4:]
    assert active["id"] == app["credential"]["id"]
    assert active["created_at"] == app["credential"]["created_at"]


def test_s4_10_rotation_is_due_after_ninety_days_and_what_is_overdue_shows(
    services: Services,
    projector: Projector,
    administrator: SignedIn,
    organisation: UUID,
    applications: str,
    credentials: str,
) -> None:
    app = new_app(administrator, applications).json
    fresh = app["credential"]
    due = datetime.fromisoformat(fresh["rotation_due_at"]) - datetime.fromisoformat(fresh["created_at"])
    assert due == timedelta(days=90)
    long_ago = given.context(datetime.now(UTC) - timedelta(days=91))
    old, _ = given.a_credential(
        services, organisation, context=long_ago, kind=Kind.KEY_PAIR, application_id=UUID(app["id"])
    )

    [overdue] = access_keys(services, administrator, credentials, app["id"], overdue=True)

    assert overdue["id"] == str(old.id)


def test_s4_10_environments_are_separate_and_production_takes_the_grant(
    services: Services,
    projector: Projector,
    administrator: SignedIn,
    sign_in: SignIn,
    organisation: UUID,
    applications: str,
    credentials: str,
) -> None:
    app = new_app(administrator, applications, generate=None).json
    for environment in Environment:
        assert generate_key(administrator, credentials, app["id"], environment).status_code == 201
        [row] = access_keys(services, administrator, credentials, app["id"], environment=str(environment))
        assert row["environment"] == environment

    developer = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    assert generate_key(developer, credentials, app["id"], "staging").status_code == 201
    assert generate_key(developer, credentials, app["id"], "production").json["code"] == "forbidden"
    with_production = new_app(developer, applications, generate={"environment": "production"})
    assert with_production.json["code"] == "forbidden"
    # Its APIs and its end are those of its production keys too.
    of_it = f"{applications}/{app['id']}"
    assert developer("PUT", f"{of_it}/apis", {"apis": []}, {"If-Match": "*"}).json["code"] == "forbidden"
    assert developer("POST", f"{of_it}/archive").json["code"] == "forbidden"
