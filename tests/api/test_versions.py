"""ETag and If-Match: nobody overwrites a change that they have not seen."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from flask import Flask

from api.wiring import Services
from tests import given
from tests.api.conftest import SignedIn


@pytest.fixture
def credential(services: Services, organisation: UUID) -> str:
    """The path of a credential at version 2."""
    receipt, _ = given.a_credential(services, organisation)
    assert receipt.version == 2
    return f"/v1/organisations/{organisation}/credentials/{receipt.id}"


@pytest.mark.parametrize("tag", ['"2"', "*", '"7", "2"', '"x","2"', "2"])
def test_a_tag_that_names_the_version_lets_a_change_through(administrator: SignedIn, credential: str, tag: str) -> None:
    changed = administrator("PATCH", credential, {"name": "new"}, {"If-Match": tag})

    assert changed.status_code == 200
    assert changed.headers["ETag"] == '"3"'
    assert administrator("GET", credential).headers["ETag"] == '"3"'


@pytest.mark.parametrize(
    "tag", ['"1"', '"3"', 'W/"2"', '"1", "3"', '"0"', '"02"', '"-2"', '"two"', '"' + "9" * 400 + '"', "", ",", '"2']
)
def test_a_tag_that_does_not_name_the_version_is_refused(
    administrator: SignedIn, services: Services, credential: str, tag: str
) -> None:
    head = services.log.head()

    for method, path, body in (
        ("PATCH", credential, {"name": "new"}),
        ("PUT", f"{credential}/allowlist", {"allowlist": ["192.0.2.0/24"]}),
        ("POST", f"{credential}/revoke", {}),
        ("POST", f"{credential}/rotate", {}),
        ("POST", f"{credential}/suspend", {}),
    ):
        answer = administrator(method, path, body, {"If-Match": tag})
        assert (answer.status_code, answer.json["code"]) == (412, "stale_version"), path
    assert services.log.head() == head


def test_what_replaces_values_must_say_which_it_saw(
    administrator: SignedIn, services: Services, organisation: UUID, credential: str
) -> None:
    operator, _ = given.an_operator(services)
    head = services.log.head()

    for method, path, body in (
        ("PATCH", credential, {"name": "new"}),
        ("PUT", f"{credential}/allowlist", {"allowlist": []}),
        ("PATCH", f"/v1/organisations/{organisation}", {"name": "new"}),
        ("PUT", f"/v1/operators/{operator}/roles", {"roles": ["viewer"], "production": False}),
    ):
        answer = administrator(method, path, body)
        assert (answer.status_code, answer.json["code"]) == (428, "precondition_required"), path
    assert services.log.head() == head


def test_what_is_created_has_no_version_to_match(administrator: SignedIn, organisation: UUID) -> None:
    body = {"kind": "api_key", "mode": "test", "preset": "read_only"}

    answer = administrator("POST", f"/v1/organisations/{organisation}/credentials", body, {"If-Match": "*"})

    assert (answer.status_code, answer.json["code"]) == (412, "stale_version")


def test_of_changes_at_once_that_saw_the_same_version_one_is_made(
    app: Flask, administrator: SignedIn, credential: str
) -> None:
    def change(number: int) -> int:
        caller = SignedIn(app.test_client(), administrator.token, administrator.operator_id)
        return caller("PATCH", credential, {"name": f"name {number}"}, {"If-Match": '"2"'}).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(change, range(8)))

    assert sorted(statuses) == [200] + [412] * 7
