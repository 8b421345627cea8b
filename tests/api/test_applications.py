"""Applications over HTTP: registered, listed, connected, archived, and the ceiling that they are."""

from typing import Any
from uuid import UUID

import pytest

from api.sweeping import sweep_archived_applications
from api.wiring import Services
from ledger.values import Mode
from projections.rebuild import rebuild
from tests import given
from tests.api.conftest import SignedIn

BOTH = ["live", "test"]


@pytest.fixture
def applications(services: Services, organisation: UUID) -> str:
    """Where the applications of an organisation with two APIs are."""
    given.a_catalogue(
        services,
        organisation,
        {"order:view": BOTH, "order:edit": BOTH, "payout:view": BOTH},
        {"orders": ["order:view", "order:edit"], "payouts": ["payout:view"]},
    )
    return f"/v1/organisations/{organisation}/applications"


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where its credentials are."""
    return f"/v1/organisations/{organisation}/credentials"


def registered(administrator: SignedIn, applications: str, **wanted: Any) -> Any:
    """A new application, connected to orders unless it says otherwise."""
    answer = administrator("POST", applications, {"title": "Ledger sync", "apis": ["orders"], **wanted})
    assert answer.status_code == 201, answer.text
    return answer.json


def key(administrator: SignedIn, credentials: str, application: str, **wanted: Any) -> Any:
    """The answer to asking for a key of an application."""
    body = {"kind": "api_key", "mode": "test", "application_id": application, **wanted}
    return administrator("POST", credentials, body)


def test_an_application_is_changed_on_the_version_that_was_read(administrator: SignedIn, applications: str) -> None:
    app = registered(administrator, applications)
    path = f"{applications}/{app['id']}"
    assert administrator("GET", path).headers["ETag"] == '"2"'  # registered, connected

    renamed = administrator("PATCH", path, {"title": "Sync"}, {"If-Match": '"2"'})
    assert (renamed.status_code, renamed.json["title"], renamed.json["description"]) == (200, "Sync", "")
    assert administrator("PUT", f"{path}/apis", {"apis": []}, {"If-Match": '"2"'}).status_code == 412
    assert administrator("PUT", f"{path}/apis", {"apis": []}).status_code == 428
    assert administrator("PUT", f"{path}/apis", {"apis": []}, {"If-Match": '"3"'}).json["apis"] == []
    unknown = administrator("PUT", f"{path}/apis", {"apis": ["invoices"]}, {"If-Match": "*"})
    assert (unknown.status_code, unknown.json["code"]) == (422, "unknown_api")

    topics = [entry["topic"] for entry in administrator("GET", f"{path}/events").json["data"]]
    assert topics == [
        "application.registered",
        "application.apis_connected",
        "application.described",
        "application.apis_connected",
    ]


def test_applications_are_listed_page_by_page_and_found_by_what_they_are_called(
    administrator: SignedIn, applications: str
) -> None:
    made = [registered(administrator, applications, title=f"App {n}", description=f"Number {n}") for n in range(5)]
    newest_first = [app["id"] for app in reversed(made)]

    first = administrator("GET", applications, query_string={"limit": 3}).json
    cursor = first["pagination"]["cursor"]
    rest = administrator("GET", applications, query_string={"limit": 3, "cursor": cursor}).json
    assert [app["id"] for app in [*first["data"], *rest["data"]]] == newest_first
    assert (first["pagination"]["has_more"], rest["pagination"]["has_more"]) == (True, False)

    def found(**query: Any) -> list[str]:
        data = administrator("GET", applications, query_string=query).json["data"]
        return [app["id"] for app in data]

    assert found(q="app 3") == found(q="NUMBER 3") == found(q=made[3]["id"]) == [made[3]["id"]]
    assert found(q="%") == []
    for wrong in ("\0", "a\u202eb"):
        assert administrator("GET", applications, query_string={"q": wrong}).status_code == 422
    administrator("POST", f"{applications}/{made[0]['id']}/archive")
    assert found(archived=True) == [made[0]["id"]]
    assert found(archived=False) == newest_first[:-1]
    foreign = administrator("GET", applications, query_string={"cursor": cursor, "q": "app"})
    assert foreign.json["code"] == "invalid_cursor"


def test_a_credential_holds_no_more_than_its_applications_apis_take(
    administrator: SignedIn, applications: str, credentials: str
) -> None:
    app = registered(administrator, applications)["id"]

    assert key(administrator, credentials, app, access_level="full").json["scopes"] == ["order:edit", "order:view"]
    assert key(administrator, credentials, app, preset="read_only").json["scopes"] == ["order:view"]
    assert key(administrator, credentials, app, scopes=["order:view"]).status_code == 201
    beyond = key(administrator, credentials, app, scopes=["order:view", "payout:view"])
    assert (beyond.status_code, beyond.json["code"]) == (422, "beyond_ceiling")
    assert "payout:view" in beyond.json["detail"]


def verdict(verifier: SignedIn, made: Any, **asked: Any) -> Any:
    """The code and the scopes that a gateway is told."""
    told = verifier("POST", "/v1/verify", {"secret": made["secret"], **asked}).json
    return told["code"], told["scopes"]


def test_narrowing_an_applications_apis_narrows_at_once_what_its_credentials_can_do(
    administrator: SignedIn, verifier: SignedIn, applications: str, credentials: str
) -> None:
    app = registered(administrator, applications, apis=["orders", "payouts"])["id"]
    made = key(administrator, credentials, app, access_level="full").json
    path = f"{credentials}/{made['id']}"
    assert administrator("GET", path).json["effective_scopes"] == ["order:edit", "order:view", "payout:view"]
    assert verdict(verifier, made, api="orders", scopes=["order:edit"])[0] == "VALID"

    administrator("PUT", f"{applications}/{app}/apis", {"apis": ["payouts"]}, {"If-Match": "*"})

    read = administrator("GET", path).json
    assert (read["effective_scopes"], read["scopes"]) == (["payout:view"], made["scopes"])
    assert verdict(verifier, made) == ("VALID", ["payout:view"])
    assert verdict(verifier, made, api="orders")[0] == "API_NOT_CONNECTED"
    assert verdict(verifier, made, scopes=["order:view"])[0] == "INSUFFICIENT_SCOPE"


def test_an_application_must_be_one_of_the_organisation(
    services: Services, administrator: SignedIn, applications: str, credentials: str
) -> None:
    elsewhere = given.an_application(services, given.an_organisation(services))
    refused = key(administrator, credentials, str(elsewhere), preset="read_only")
    assert (refused.status_code, refused.json["code"]) == (422, "unknown_application")
    assert administrator("GET", f"{applications}/{elsewhere}").status_code == 404


def test_archiving_is_final_and_every_credential_says_so_in_its_own_history(
    services: Services, administrator: SignedIn, verifier: SignedIn, applications: str, credentials: str
) -> None:
    app = registered(administrator, applications)["id"]
    made = [key(administrator, credentials, app, access_level="full").json for _ in range(2)]
    two = [one["id"] for one in made]
    later = {"effective_at": "2030-01-01T00:00:00Z"}
    assert administrator("POST", f"{credentials}/{two[1]}/revoke", later).json["status"] == "active"
    other = key(administrator, credentials, registered(administrator, applications)["id"], access_level="full").json

    archived = administrator("POST", f"{applications}/{app}/archive", {"reason": "sold"}, {"X-Request-Id": "r-7"})

    assert (archived.status_code, archived.json["archived"], archived.json["archived_reason"]) == (200, True, "sold")
    again = administrator("POST", f"{applications}/{app}/archive")
    assert (again.status_code, again.json["code"]) == (409, "application_archived")
    refused = key(administrator, credentials, app, access_level="full")
    assert (refused.status_code, refused.json["code"]) == (409, "application_archived")

    assert [verdict(verifier, one)[0] for one in made] == ["REVOKED", "REVOKED"]  # at once, before any sweep
    assert sweep_archived_applications(services) == 2
    assert sweep_archived_applications(services) == 0

    for credential in two:
        last = administrator("GET", f"{credentials}/{credential}/events").json["data"][-1]
        assert (last["topic"], last["via"], last["request_id"]) == ("credential.revoked", "system", "r-7")
        assert last["reason"] == "application archived: sold"
        assert last["actor"] == f"operator:{administrator.operator_id}"
        assert administrator("GET", f"{credentials}/{credential}").json["status"] == "revoked"
    assert administrator("GET", f"{credentials}/{other['id']}").json["status"] == "active"


def test_a_credential_that_slips_in_beside_the_archiving_is_swept_too(services: Services, organisation: UUID) -> None:
    """The check for an archived application is for its caller; what holds under a race is verification and this."""
    application = given.an_application(services, organisation)
    services.ledger.handle(given.archiving(application))
    late, _ = given.a_credential(services, organisation, mode=Mode.TEST, application_id=application)

    assert sweep_archived_applications(services) == 1
    assert services.store.rows("SELECT revoked_at FROM credential_status WHERE credential_id = %s", (late.id,))[0][
        "revoked_at"
    ]


def test_a_rebuilt_view_reads_as_before(services: Services, administrator: SignedIn, applications: str) -> None:
    kept = registered(administrator, applications, description="Books payouts.")["id"]
    administrator("PUT", f"{applications}/{kept}/apis", {"apis": ["payouts"]}, {"If-Match": "*"})
    administrator("POST", f"{applications}/{registered(administrator, applications)['id']}/archive", {"reason": "sold"})
    query = "SELECT * FROM application_status ORDER BY application_id"
    before = services.store.rows(query)

    rebuild(services.log, "application_status")

    assert services.store.rows(query) == before
    assert [(row["apis"], row["archived_reason"]) for row in before] == [(["payouts"], None), (["orders"], "sold")]


def test_closing_the_account_of_an_application_ends_the_credentials_that_hang_on_it(
    services: Services, administrator: SignedIn, verifier: SignedIn, organisation: UUID
) -> None:
    base = f"/v1/organisations/{organisation}"
    account, other = (str(given.an_account(services, organisation)) for _ in range(2))
    given.a_catalogue(services, organisation, {"order:view": ["live"]}, {"orders": ["order:view"]})
    registered = {"title": "Sync", "account_id": account, "apis": ["orders"]}
    application = administrator("POST", f"{base}/applications", registered).json["id"]
    asked = {"kind": "api_key", "mode": "live", "access_level": "full", "application_id": application}

    contradicts = administrator("POST", f"{base}/credentials", {**asked, "account_id": other})
    assert (contradicts.status_code, contradicts.json["errors"][0]["field"]) == (422, "account_id")
    key = administrator("POST", f"{base}/credentials", asked)
    assert key.json["account_id"] == account

    given.a_closed_account(services, UUID(account))

    assert verifier("POST", "/v1/verify", {"secret": key.json["secret"]}).json["code"] == "REVOKED"
    assert administrator("POST", f"{base}/credentials", asked).json["code"] == "account_closed"
