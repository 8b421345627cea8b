"""Lists: what a filter finds, page after page, and a caller's own write."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api import commanding
from api.wiring import Services
from ledger.commands import RenameOrganisation, RevokeCredential, RotateSecret, SuspendCredential
from ledger.values import Channel, EmailAddress, Environment, Kind, Label, Login, Mode, Name, Role
from projections import organisation_status
from projections.runner import Projector
from projections.words import SEARCH_WALK_ROWS
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn
from tests.waiting import SECONDS_MAX, until_caught_up


@pytest.fixture
def credentials(organisation: UUID) -> str:
    return f"/v1/organisations/{organisation}/credentials"


def listed(caller: SignedIn, path: str, **query: Any) -> list[dict[str, Any]]:
    """All of a list, page after page."""
    found: list[dict[str, Any]] = []
    while True:
        page = caller("GET", path, query_string=query)
        assert page.status_code == 200, page.text
        found += page.json["data"]
        assert page.json["pagination"]["has_more"] == (page.json["pagination"]["cursor"] is not None)
        if not page.json["pagination"]["has_more"]:
            return found
        query["cursor"] = page.json["pagination"]["cursor"]


def caught_up(services: Services) -> None:
    until_caught_up(services)


def test_each_filter_finds_what_it_says_and_no_other(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    now, account, application = datetime.now(UTC), given.an_account(services, organisation), uuid4()

    def create(name: str, **changes: Any) -> Any:
        return given.a_credential(services, organisation, name=Label(name), **changes)[0].id

    create("plain", context=given.context(now - timedelta(days=1)))
    create("client", kind=Kind.OAUTH_CLIENT)
    create("test", mode=Mode.TEST)
    create("staging", mode=Mode.TEST, environment=Environment.STAGING)
    create("login", kind=Kind.CHANNEL_LOGIN, channel=Channel.FTP, login=Login("somebody"))
    create("account", account_id=account)
    create("application", application_id=application)
    create("contact", contact_email=EmailAddress("Grace@example.org"))
    create("soon over", expires_at=now + timedelta(days=2))
    create("old", context=given.context(now - timedelta(days=100)))
    revoked, suspended, rotating = create("revoked"), create("suspended"), create("rotating")
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=revoked))
    services.ledger.handle(SuspendCredential(context=given.context(), credential_id=suspended))
    secret = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored
    services.ledger.handle(
        RotateSecret(context=given.context(), credential_id=rotating, secret=secret, overlap=timedelta(days=1))
    )
    given.a_credential(services, given.an_organisation(services, "Other"), name=Label("elsewhere"))
    caught_up(services)

    def names(**query: Any) -> set[str]:
        return {one["name"] for one in listed(administrator, credentials, **query)}

    everything = names()
    assert len(everything) == 13
    assert names(status="revoked") == {"revoked"}
    assert names(status="suspended") == {"suspended"}
    assert names(status="rotating") == {"rotating"}
    assert names(status="active") == everything - {"revoked", "suspended", "rotating"}
    assert names(status="expired") == set()
    assert names(kind="oauth_client") == {"client"}
    assert names(kind="api_key", mode="test") == {"test", "staging"}
    assert names(environment="staging") == {"staging"}
    assert names(channel="ftp") == {"login"}
    assert names(account=account) == {"account"}
    assert names(application=application) == {"application"}
    assert names(contact_email="grace@example.org") == {"contact"}
    assert names(q="soon ov") == {"soon over"}
    assert names(q="GRACE") == {"contact"}
    assert names(overdue="true") == {"old"}
    assert names(overdue="false") == everything
    assert names(unused_since=(now - timedelta(hours=1)).isoformat()) == {"plain", "old"}
    assert names(expiring_before=(now + timedelta(days=3)).isoformat()) == {"soon over"}
    assert names(limit=2) == everything


def test_a_listed_credential_reads_as_it_does_alone(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    receipt, _ = given.a_credential(services, organisation)
    caught_up(services)

    [one] = listed(administrator, credentials)

    alone = administrator("GET", f"{credentials}/{receipt.id}").json
    assert alone == {**one, "effective_scopes": one["scopes"], "superseded_by": []}


def test_pages_give_everything_once_newest_first_while_more_is_created(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    created = [str(given.a_credential(services, organisation)[0].id) for _ in range(7)]
    caught_up(services)

    first = administrator("GET", credentials, query_string={"limit": 3}).json
    given.a_credential(services, organisation)
    caught_up(services)
    cursor = first["pagination"]["cursor"]
    rest = listed(administrator, credentials, limit=3, cursor=cursor)

    assert [one["id"] for one in [*first["data"], *rest]] == created[::-1]


def test_a_cursor_is_good_for_its_own_list_alone(
    services: Services, projector: Projector, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    for _ in range(2):
        given.a_credential(services, organisation)
    other = given.an_organisation(services, "Other")
    caught_up(services)
    cursor = administrator("GET", credentials, query_string={"limit": 1}).json["pagination"]["cursor"]

    for path, query in (
        (credentials, {"mode": "live"}),
        (f"/v1/organisations/{other}/credentials", {}),
        ("/v1/operators", {}),
        ("/v1/organisations", {}),
        (f"/v1/organisations/{organisation}/events", {}),
    ):
        answer = administrator("GET", path, query_string={**query, "cursor": cursor})
        assert (answer.status_code, answer.json["code"]) == (422, "invalid_cursor"), path


@pytest.mark.parametrize("what", ["operators", "organisations"])
def test_pages_of_what_is_listed_by_id_give_everything_once(
    services: Services, administrator: SignedIn, what: str
) -> None:
    if what == "operators":
        made = {str(given.an_operator(services)[0]) for _ in range(5)} | {str(administrator.operator_id)}
    else:
        made = {str(given.an_organisation(services)) for _ in range(5)}

    ids = [one["id"] for one in listed(administrator, f"/v1/{what}", limit=2)]

    assert ids == sorted(made)


def test_operators_of_one_organisation_can_be_listed(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    inside, _ = given.an_operator(services, Role.VIEWER, organisation_id=organisation)

    found = listed(administrator, "/v1/operators", organisation_id=organisation)

    assert [one["id"] for one in found] == [str(inside)]
    assert administrator("GET", "/v1/operators", query_string={"organisation_id": uuid4()}).status_code == 404


def test_an_operator_of_one_organisation_lists_that_one(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    given.an_organisation(services, "Other")
    mine = sign_in(Role.VIEWER, organisation_id=organisation)

    assert [one["id"] for one in listed(mine, "/v1/organisations")] == [str(organisation)]


# --- reading one's own write -----------------------------------------------------------------------------------------


def _create(caller: SignedIn, path: str) -> Answer:
    return caller("POST", path, {"kind": "api_key", "mode": "test", "preset": "read_only"})


@pytest.mark.parametrize("search_walk", [SEARCH_WALK_ROWS, 1])
def test_organisations_are_found_by_words_the_last_of_which_may_be_cut(
    services: Services, administrator: SignedIn, monkeypatch: pytest.MonkeyPatch, search_walk: int
) -> None:
    monkeypatch.setattr(organisation_status, "SEARCH_WALK_ROWS", search_walk)
    for name in ("Night Railways", "Nightwatch", "100% Day_light", "Zürcher Straßenbahn"):
        given.an_organisation(services, name)

    def found(q: str) -> list[str]:
        return [one["name"] for one in listed(administrator, "/v1/organisations", q=q, limit=1)]

    assert found("NIGHT") == ["Night Railways", "Nightwatch"]
    assert (found("rail night"), found("night rail"), found("rails")) == ([], ["Night Railways"], [])
    assert (found("100"), found("day-light"), found("light")) == (
        ["100% Day_light"],
        ["100% Day_light"],
        ["100% Day_light"],
    )
    assert (found("zurcher"), found("strass")) == (["Zürcher Straßenbahn"], ["Zürcher Straßenbahn"])
    renamed = listed(administrator, "/v1/organisations", q="nightwatch")[0]["id"]
    command = RenameOrganisation(context=given.context(), organisation_id=UUID(renamed), name=Name("Dayshift"))
    services.ledger.handle(command)
    assert (found("nightwatch"), found("dayshift")) == ([], ["Dayshift"])
    assert administrator("GET", "/v1/organisations?q=%25").json["errors"][0]["field"] == "q"


@pytest.mark.parametrize("kind", ["operators", "organisations"])
def test_a_search_is_of_a_list_of_its_own_and_of_a_bounded_text(
    services: Services, administrator: SignedIn, kind: str
) -> None:
    for name in ("Night Railways", "Nightwatch", "100% Day_light"):
        given.an_organisation(services, name) if kind == "organisations" else given.an_operator(services, name=name)
    first = administrator("GET", f"/v1/{kind}?q=night&limit=1").json["pagination"]["cursor"]
    assert administrator("GET", f"/v1/{kind}?q=watch&limit=1&cursor={first}").json["code"] == "invalid_cursor"
    for q in ("", "x" * 201, "a%00b"):
        assert administrator("GET", f"/v1/{kind}?q={q}").status_code == 422


def test_operators_are_found_by_a_part_of_what_they_are_called(services: Services, administrator: SignedIn) -> None:
    for name in ("Night Railways", "Nightwatch", "100% Day_light"):
        given.an_operator(services, name=name)

    def found(q: str) -> list[str]:
        return [one["name"] for one in listed(administrator, "/v1/operators", q=q, limit=1)]

    assert found("NIGHT") == ["Night Railways", "Nightwatch"]
    assert found("t r") == ["Night Railways"]
    assert (found("%"), found("y_l"), found("t_r")) == (["100% Day_light"], ["100% Day_light"], [])


def test_a_client_reads_its_own_write(
    services: Services,
    projector: Projector,
    administrator: SignedIn,
    organisation: UUID,
    credentials: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commanding, "AT_LEAST_SECONDS_MAX", SECONDS_MAX)  # on a busy machine
    for _ in range(10):
        created = _create(administrator, credentials)
        at_least = {"Keyledger-At-Least": created.headers["Keyledger-Position"]}

        newest = administrator("GET", credentials, headers=at_least, query_string={"limit": 1}).json["data"]
        events = administrator("GET", f"/v1/organisations/{organisation}/events", headers=at_least).json["data"]

        assert newest[0]["id"] == created.json["id"]
        assert events[0]["aggregate_id"] == created.json["id"]


def test_a_view_that_stands_still_is_told_after_a_bounded_wait(
    administrator: SignedIn, credentials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "AT_LEAST_SECONDS_MAX", 0.2)
    position = _create(administrator, credentials).headers["Keyledger-Position"]
    began = time.monotonic()

    answer = administrator("GET", credentials, headers={"Keyledger-At-Least": position})

    assert (answer.status_code, answer.json["code"]) == (503, "view_behind")
    assert int(answer.headers["Retry-After"]) > 0
    assert 0.1 < time.monotonic() - began < SECONDS_MAX


@pytest.mark.parametrize(("position", "code"), [("1000000", "invalid_position"), ("9" * 18, "invalid_position")])
def test_a_position_that_the_log_has_not_reached_is_refused_without_waiting(
    administrator: SignedIn, credentials: str, position: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanding, "AT_LEAST_SECONDS_MAX", SECONDS_MAX)
    began = time.monotonic()

    answer = administrator("GET", credentials, headers={"Keyledger-At-Least": position})

    assert (answer.status_code, answer.json["code"]) == (422, code)
    assert time.monotonic() - began < SECONDS_MAX / 2


@pytest.mark.parametrize("position", ["", "-1", "1.5", "x", "9" * 19, "²"])
def test_what_is_no_position_is_refused(administrator: SignedIn, credentials: str, position: str) -> None:
    answer = administrator("GET", credentials, headers={"Keyledger-At-Least": position})

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_header")
    assert answer.json["errors"][0]["field"] == "Keyledger-At-Least"
