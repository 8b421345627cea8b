"""Catalogues over HTTP: read, set, retired, and what became of what they offered."""

from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from api.schemas.catalogue import SETTING
from api.wiring import Services
from ledger.values import Role
from projections.catalogue_status import Catalogues
from projections.rebuild import rebuild
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn

BOTH = ["live", "test"]
OFFERED = {"order:view": BOTH, "order:edit": BOTH, "payout:view": BOTH}
TAKEN = {"orders": ["order:edit", "order:view"], "payouts": ["payout:view"]}


@pytest.fixture
def catalogue(organisation: UUID) -> str:
    """Where the organisation's catalogue is."""
    return f"/v1/organisations/{organisation}/catalogue"


def set_to(
    caller: SignedIn, catalogue: str, offered: Any = None, taken: Any = None, if_match: str = "*", **more: Any
) -> Answer:
    """The answer to setting it."""
    body = {
        "groups": given.groups(OFFERED if offered is None else offered),
        "apis": given.apis(TAKEN if taken is None else taken),
        **more,
    }
    return caller("PUT", catalogue, body, {"If-Match": if_match})


def test_a_catalogue_is_set_on_the_version_that_was_read(administrator: SignedIn, catalogue: str) -> None:
    read = administrator("GET", catalogue)
    assert (read.json["version"], read.headers["ETag"]) == (1, '"1"')

    written = set_to(administrator, catalogue, if_match='"1"')

    assert (written.status_code, written.json["version"], written.headers["ETag"]) == (200, 2, '"2"')
    assert administrator("GET", catalogue).json == written.json
    assert written.json["groups"] == given.groups(OFFERED)
    assert written.json["apis"] == given.apis(TAKEN)
    stale = set_to(administrator, catalogue, {"order:view": BOTH}, {}, if_match='"1"')
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    blind = administrator("PUT", catalogue, {"groups": given.groups(OFFERED), "apis": []})
    assert blind.status_code == 428


def test_a_retry_is_answered_as_the_first_was(administrator: SignedIn, catalogue: str) -> None:
    body = {"scopes": ["customer:view"]}
    first = administrator("POST", f"{catalogue}/retire", body, {"Idempotency-Key": "one"})
    again = administrator("POST", f"{catalogue}/retire", body, {"Idempotency-Key": "one"})

    assert first.status_code == 200
    assert (again.text, again.headers["Keyledger-Position"]) == (first.text, first.headers["Keyledger-Position"])


def test_every_version_can_be_read_again_and_tells_how_it_came_about(
    administrator: SignedIn, catalogue: str, services: Services, organisation: UUID
) -> None:
    default = administrator("GET", catalogue).json
    set_to(administrator, catalogue, reason="first")
    administrator("POST", f"{catalogue}/retire", {"scopes": ["order:edit"], "reason": "second"})

    third, second, first = administrator("GET", f"{catalogue}/history").json["data"]

    assert (third["version"], third["removed"], third["added"], third["reason"]) == (3, ["order:edit"], [], "second")
    assert (second["added"], second["actor"]) == (sorted(OFFERED), f"operator:{administrator.operator_id}")
    assert (first["version"], first["at"], len(first["added"])) == (1, None, 20)
    for at in (Catalogues(services.log), services.catalogues):
        assert [at.version(organisation, version).version for version in (1, 2, 3)] == [1, 2, 3]
    assert administrator("GET", catalogue, query_string={"version": 1}).json == default
    assert "ETag" not in administrator("GET", catalogue, query_string={"version": 1}).headers
    assert administrator("GET", catalogue, query_string={"version": 4}).status_code == 404


def test_what_is_retired_is_no_longer_granted_and_no_longer_effective_until_it_is_offered_again(
    administrator: SignedIn, verifier: SignedIn, catalogue: str, organisation: UUID
) -> None:
    def granted() -> Any:
        return verifier("POST", "/v1/verify", {"secret": key["secret"]}).json["scopes"]

    set_to(administrator, catalogue)
    credentials = f"/v1/organisations/{organisation}/credentials"
    key = administrator("POST", credentials, {"kind": "api_key", "mode": "live", "access_level": "full"}).json
    path = f"{credentials}/{key['id']}"

    retired = administrator("POST", f"{catalogue}/retire", {"scopes": ["order:edit"]}).json
    assert "order:edit" in retired["retired"]["live"]
    assert "order:edit" in retired["retired"]["test"]
    assert retired["apis"][0]["scopes"] == ["order:view"]

    read = administrator("GET", path).json
    assert (read["scopes"], read["effective_scopes"]) == (sorted(OFFERED), ["order:view", "payout:view"])
    assert granted() == ["order:view", "payout:view"]
    refused = administrator("POST", credentials, {"kind": "api_key", "mode": "live", "scopes": ["order:edit"]})
    assert refused.json["code"] == "retired_scope"
    again = administrator("POST", f"{catalogue}/retire", {"scopes": ["order:edit"]})
    assert (again.status_code, again.json["code"]) == (409, "nothing_changed")

    set_to(administrator, catalogue)
    assert administrator("GET", path).json["effective_scopes"] == granted() == sorted(OFFERED)


@pytest.mark.parametrize(
    "scope", ["scan_app:edit", "event_configuration:view", "entrance_plan.rules:edit", "internal_support:view"]
)
def test_what_credentials_never_govern_enters_no_catalogue_and_no_credential(
    administrator: SignedIn, catalogue: str, organisation: UUID, services: Services, scope: str
) -> None:
    head = services.log.head()
    offered = set_to(administrator, catalogue, {**OFFERED, scope: BOTH})
    assert (offered.status_code, offered.json["code"]) == (422, "excluded_scope")
    body = {"kind": "api_key", "mode": "test", "scopes": [scope]}
    asked = administrator("POST", f"/v1/organisations/{organisation}/credentials", body)
    assert (asked.status_code, asked.json["code"]) == (422, "excluded_scope")
    assert services.log.head() == head


def test_a_permission_that_goes_on_for_one_mode_alone_is_not_granted_in_the_other(
    administrator: SignedIn, verifier: SignedIn, catalogue: str, organisation: UUID
) -> None:
    set_to(administrator, catalogue, {"order:view": BOTH, "order:edit": BOTH}, {})
    credentials = f"/v1/organisations/{organisation}/credentials"
    keys = {
        mode: administrator("POST", credentials, {"kind": "api_key", "mode": mode, "access_level": "full"}).json
        for mode in BOTH
    }

    assert set_to(administrator, catalogue, {"order:view": BOTH, "order:edit": ["test"]}, {}).status_code == 200

    for mode, granted in (("live", ["order:view"]), ("test", ["order:edit", "order:view"])):
        key = keys[mode]
        assert verifier("POST", "/v1/verify", {"secret": key["secret"]}).json["scopes"] == granted
        assert administrator("GET", f"{credentials}/{key['id']}").json["effective_scopes"] == granted


def test_the_documents_examples_are_taken(administrator: SignedIn, catalogue: str) -> None:
    for example in SETTING.values():
        taken = administrator("PUT", catalogue, example["value"], {"If-Match": "*"})
        assert taken.status_code == 200, taken.text


def test_what_live_credentials_get_takes_the_grant_for_production(
    administrator: SignedIn, sign_in: SignIn, catalogue: str, organisation: UUID
) -> None:
    set_to(administrator, catalogue)
    without = sign_in(Role.ADMINISTRATOR, organisation_id=organisation, production=False)

    assert set_to(without, catalogue, {**OFFERED, "order:test": BOTH}).json["code"] == "invalid_choice"
    assert set_to(without, catalogue, {**OFFERED, "stock:view": BOTH}).json["code"] == "forbidden"
    assert set_to(without, catalogue, taken={"orders": []}).json["code"] == "forbidden"
    assert administrator("GET", catalogue).json["version"] == 2
    assert set_to(without, catalogue, {**OFFERED, "stock:view": ["test"]}).status_code == 200


def test_an_organisation_that_there_is_not_has_no_catalogue(administrator: SignedIn) -> None:
    path = f"/v1/organisations/{uuid7()}/catalogue"
    assert administrator("GET", path).status_code == 404
    assert set_to(administrator, path).status_code == 404


def test_a_rebuilt_view_reads_as_before(administrator: SignedIn, catalogue: str, services: Services) -> None:
    set_to(administrator, catalogue)
    administrator("POST", f"{catalogue}/retire", {"scopes": ["order:edit"]})
    before = services.store.rows("SELECT * FROM catalogue_status")
    assert before[0]["apis"] == {"orders": ["order:view"], "payouts": ["payout:view"]}
    assert before[0]["version"] == 3

    rebuild(services.log, "catalogue_status")

    assert services.store.rows("SELECT * FROM catalogue_status") == before
