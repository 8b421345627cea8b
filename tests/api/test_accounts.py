"""Accounts over HTTP: opened, listed, described, closed, and what their histories tell."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.values import AccountKind, Channel, Kind, Login, Name, Reference, Role
from tests import given
from tests.api.conftest import SignedIn, SignIn

MERCHANT = {"kind": "merchant", "name": "Corner Shop", "reference": "M-7"}
OLD = {"kind": "master", "name": "Acme Messaging", "opened_on": "2023-06-05"}


@pytest.fixture
def accounts(organisation: UUID) -> str:
    return f"/v1/organisations/{organisation}/accounts"


def listed(caller: SignedIn, path: str, **query: Any) -> list[str]:
    """The names in a list, page after page."""
    names: list[str] = []
    while True:
        page = caller("GET", path, query_string=query)
        assert page.status_code == 200, page.text
        names += [one["name"] for one in page.json["data"]]
        if not page.json["pagination"]["has_more"]:
            return names
        query["cursor"] = page.json["pagination"]["cursor"]


@pytest.mark.usefixtures("within_a_day")
def test_an_account_reads_as_its_opening_was_answered(
    administrator: SignedIn, organisation: UUID, accounts: str
) -> None:
    opened = administrator("POST", accounts, MERCHANT | {"reason": "signed up"})

    assert opened.status_code == 201
    assert opened.json.pop("credentials") == []
    assert opened.json == {
        "id": opened.json["id"],
        "organisation_id": str(organisation),
        "kind": "merchant",
        "parent_id": None,
        "name": "Corner Shop",
        "reference": "M-7",
        "opened_on": datetime.now(UTC).date().isoformat(),
        "status": "open",
        "closed_at": None,
        "closed_by": None,
        "closed_reason": None,
        "channels": [],
        "version": 1,
    }
    assert opened.headers["Location"] == f"{accounts}/{opened.json['id']}"
    read = administrator("GET", opened.headers["Location"])
    assert (read.json, read.headers["ETag"]) == (opened.json, '"1"')


def test_a_retry_of_opening_gets_the_same_secrets_and_opens_nothing(
    administrator: SignedIn, services: Services, accounts: str
) -> None:
    key = {"Idempotency-Key": "k"}
    first = administrator("POST", accounts, OLD, key)
    head = services.log.head()
    again = administrator("POST", accounts, OLD, key)

    assert len(first.json["credentials"]) == 4
    assert again.text == first.text
    assert again.headers["Keyledger-Position"] == first.headers["Keyledger-Position"] == str(head)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert services.log.head() == head


def test_an_old_master_is_opened_with_its_logins_or_not_at_all(
    administrator: SignedIn, sign_in: SignIn, services: Services, organisation: UUID, accounts: str
) -> None:
    without_the_grant = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    head = services.log.head()
    assert without_the_grant("POST", accounts, OLD).json["code"] == "forbidden"
    assert services.log.head() == head

    assert administrator("POST", accounts, OLD).status_code == 201
    assert services.log.head() == head + 1 + 4 * 2  # opened; of each login: created, scopes fixed


def test_describing_takes_the_version_that_was_read(administrator: SignedIn, accounts: str) -> None:
    path = administrator("POST", accounts, MERCHANT).headers["Location"]
    assert administrator("PATCH", path, {"name": "New"}).status_code == 428
    described = administrator("PATCH", path, {"name": "New", "reference": None}, {"If-Match": '"1"'})
    assert (described.json["name"], described.json["reference"], described.headers["ETag"]) == ("New", "", '"2"')
    assert administrator("PATCH", path, {"name": "Newer"}, {"If-Match": '"1"'}).json["code"] == "stale_version"
    assert administrator("GET", path).json == described.json


def test_each_filter_finds_what_it_says_and_no_other(
    services: Services, administrator: SignedIn, organisation: UUID, accounts: str
) -> None:
    def an_account(name: str, **more: Any) -> UUID:
        return given.an_account(services, organisation, name=Name(name), **more)

    master = an_account("master", reference=Reference("C-100_17"))
    an_account("sub", kind=AccountKind.SUB, parent_id=master)
    an_account("merchant", kind=AccountKind.MERCHANT)
    gone = an_account("gone")
    an_account("beneath", kind=AccountKind.SUB, parent_id=gone)
    given.a_closed_account(services, gone)
    given.an_account(services, given.an_organisation(services, "Other"), name=Name("theirs"))

    everything = ["master", "sub", "merchant", "gone", "beneath"]
    assert listed(administrator, accounts) == listed(administrator, accounts, limit=2) == everything
    assert listed(administrator, accounts, kind="merchant") == ["merchant"]
    assert listed(administrator, accounts, parent=str(master)) == ["sub"]
    assert listed(administrator, accounts, status="open") == ["master", "sub", "merchant"]
    assert listed(administrator, accounts, status="closed") == ["gone", "beneath"]
    assert listed(administrator, accounts, q="ERCH") == ["merchant"]
    assert listed(administrator, accounts, q="c-100_1") == ["master"]
    assert listed(administrator, accounts, q="%") == listed(administrator, accounts, q="100-17") == []
    cursor = administrator("GET", accounts, query_string={"limit": 1}).json["pagination"]["cursor"]
    other = administrator("GET", accounts, query_string={"cursor": cursor, "kind": "sub"})
    assert other.json["code"] == "invalid_cursor"


def test_closing_is_told_by_the_account_and_by_those_beneath_it(
    services: Services, administrator: SignedIn, organisation: UUID, accounts: str
) -> None:
    master = given.an_account(services, organisation)
    sub = given.an_account(services, organisation, kind=AccountKind.SUB, parent_id=master)
    login = {"kind": Kind.CHANNEL_LOGIN, "channel": Channel.FTP, "login": Login("acme.ftp")}
    for account in (master, sub):
        given.a_credential(services, organisation, account_id=account, **login)
        login["login"] = Login("north.ftp")
    assert len(administrator("GET", f"{accounts}/{sub}").json["channels"]) == 1

    closed = administrator("POST", f"{accounts}/{master}/close", {"reason": "contract ended"})

    assert (closed.status_code, closed.json["status"], closed.json["channels"]) == (200, "closed", [])
    assert closed.json["closed_by"] == f"operator:{administrator.operator_id}"
    assert closed.json["closed_reason"] == "contract ended"
    assert administrator("GET", f"{accounts}/{master}").json == closed.json
    beneath = administrator("GET", f"{accounts}/{sub}").json
    assert (beneath["status"], beneath["closed_at"], beneath["channels"]) == ("closed", closed.json["closed_at"], [])
    again = administrator("POST", f"{accounts}/{master}/close", {"reason": "again"})
    assert (again.status_code, again.json["code"]) == (409, "account_closed")


def test_once_closing_is_answered_nothing_that_hangs_on_it_is_found_good(
    services: Services, administrator: SignedIn, verifier: SignedIn, organisation: UUID, accounts: str
) -> None:
    master, other = given.an_account(services, organisation), given.an_account(services, organisation)
    sub = given.an_account(services, organisation, kind=AccountKind.SUB, parent_id=master)
    secrets = [given.a_credential(services, organisation, account_id=account)[1] for account in (master, sub, other)]

    def codes() -> list[str]:
        return [verifier("POST", "/v1/verify", {"secret": secret}).json["code"] for secret in secrets]

    assert codes() == ["VALID"] * 3
    closed = administrator("POST", f"{accounts}/{master}/close", {"reason": "contract ended"})
    assert closed.status_code == 200
    assert codes() == ["REVOKED", "REVOKED", "VALID"]


def test_an_accounts_history_tells_who_did_what(administrator: SignedIn, organisation: UUID, accounts: str) -> None:
    path = administrator("POST", accounts, MERCHANT | {"reason": "signed up"}).headers["Location"]
    administrator("PATCH", path, {"name": "New"}, {"If-Match": "*"})
    administrator("POST", f"{path}/close", {"reason": "moved"}, {"X-Request-Id": "req-7"})

    told = administrator("GET", f"{path}/events").json["data"]

    assert [(one["topic"], one["reason"]) for one in told] == [
        ("account.opened", "signed up"),
        ("account.described", ""),
        ("account.closed", "moved"),
    ]
    assert told[0]["data"]["name"] == "Corner Shop"
    assert told[2]["request_id"] == "req-7"
    assert {one["actor"] for one in told} == {f"operator:{administrator.operator_id}"}
    first = administrator("GET", f"{path}/events", query_string={"limit": 2}).json
    rest = administrator("GET", f"{path}/events", query_string={"cursor": first["pagination"]["cursor"]}).json
    assert first["data"] + rest["data"] == told


def test_another_organisations_account_is_not_there(services: Services, administrator: SignedIn, accounts: str) -> None:
    theirs = given.an_account(services, given.an_organisation(services, "Other"))
    for method, path in (("GET", ""), ("GET", "/events"), ("PATCH", ""), ("POST", "/close")):
        body = {"name": "x"} if method == "PATCH" else {"reason": "x"} if method == "POST" else None
        answer = administrator(method, f"{accounts}/{theirs}{path}", body, {"If-Match": "*"})
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_an_old_master_is_refused_where_nothing_live_could_be_granted_to_its_logins(
    services: Services, administrator: SignedIn, organisation: UUID, accounts: str
) -> None:
    given.a_catalogue(services, organisation, {"trial:view": ["test"]}, {})
    head = services.log.head()
    refused = administrator("POST", accounts, {"kind": "master", "name": "Old", "opened_on": "2020-01-01"})
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "opened_on")
    assert services.log.head() == head


@pytest.mark.parametrize("kind", ["oauth_client", "key_pair"])
def test_only_logins_and_api_keys_are_of_a_channel(administrator: SignedIn, organisation: UUID, kind: str) -> None:
    wanted = {"kind": kind, "mode": "live", "preset": "read_only", "channel": "ftp"}
    refused = administrator("POST", f"/v1/organisations/{organisation}/credentials", wanted)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "channel")
