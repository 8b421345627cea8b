"""Who may do what: every operation, for every role, in one's own organisation, another one's and all of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.wiring import Services
from ledger.values import SEALED_LOG_ID, Mode, Role
from projections.exported_files import Written, keep_written
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.projections.keeping_up import catch_up

ADMINISTRATORS = {Role.ADMINISTRATOR}
WRITERS = {Role.ADMINISTRATOR, Role.OPERATOR}
HISTORIANS = {Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR}
READERS = {Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR, Role.VIEWER}
OVERSEERS = {Role.ADMINISTRATOR, Role.AUDITOR}

ORGANISATION = "/v1/organisations/{organisation}"
LEDGER = f"{ORGANISATION}/ledger"
ACCOUNTS = f"{ORGANISATION}/accounts"
ACCOUNT = f"{ACCOUNTS}/{{account}}"
CREDENTIALS = f"{ORGANISATION}/credentials"
CREDENTIAL = f"{CREDENTIALS}/{{credential}}"
OPERATOR = "/v1/operators/{operator}"
KEY = {"kind": "api_key", "preset": "read_only"}
# What the organisation's catalogue offers, to credentials of which modes, and what its one API takes.
OFFERED = {"order:view": ["live", "test"], "shipment:view": ["live"], "trial:view": ["test"]}
TAKEN = {"orders": ["order:view"]}
CATALOGUE = f"{ORGANISATION}/catalogue"
APPLICATION = f"{ORGANISATION}/applications/{{application}}"
WEBHOOKS = f"{ORGANISATION}/webhooks"
WEBHOOK = f"{WEBHOOKS}/{{endpoint}}"
DELIVERY = f"{WEBHOOK}/deliveries/{{delivery}}"


BULK = f"{ORGANISATION}/bulk-revocations"
EXPORTS = f"{ORGANISATION}/exports"
REVIEWS = f"{ORGANISATION}/access-reviews"
OF_ALL_KEYS = {"filter": {"kind": "api_key"}, "revocation_reason": "compromised"}


@dataclass(frozen=True)
class Operation:
    """One operation: who may carry it out in the organisation that it is about, and who for all of them.

    `live` tells that it takes the grant for production where it is about something live, `production` that it always
    does; `own_list` that it lists what
    the caller sees, so that there is nothing of another organisation to ask for.
    """

    method: str
    path: str
    roles: set[Role]
    body: Any = None
    live: bool = False
    production: bool = False
    own_list: bool = False
    for_all_only: bool = False


OPENING = f"aggregate_id={SEALED_LOG_ID}&version=1"  # of the provable log, which concerns no organisation

OPERATIONS = [
    Operation("GET", "/v1/organisations", READERS, own_list=True),
    Operation("POST", "/v1/organisations", ADMINISTRATORS, {"name": "New"}, for_all_only=True),
    Operation("GET", ORGANISATION, READERS),
    Operation("PATCH", ORGANISATION, ADMINISTRATORS, {"name": "Renamed"}),
    Operation("GET", f"{ORGANISATION}/events", HISTORIANS),
    Operation("GET", LEDGER, HISTORIANS),
    Operation("GET", f"{LEDGER}/checkpoint", HISTORIANS),
    Operation("GET", f"{LEDGER}/tile/{{path}}", HISTORIANS),
    Operation("GET", f"{LEDGER}/proofs/consistency?old=0", HISTORIANS),
    Operation("GET", f"{LEDGER}/proofs/event?aggregate_id={{organisation}}&version=1", HISTORIANS),
    Operation("GET", f"{LEDGER}/proofs/timestamp?aggregate_id={{organisation}}&version=1", HISTORIANS),
    Operation("GET", f"{LEDGER}/policy", HISTORIANS),
    Operation("GET", f"{LEDGER}/proofs/event.tlog-proof?aggregate_id={{organisation}}&version=1", HISTORIANS),
    Operation("GET", "/v1/ledger/root", HISTORIANS, own_list=True),
    Operation("GET", "/v1/ledger/root/checkpoint", HISTORIANS, own_list=True),
    Operation("GET", "/v1/ledger/root/tile/{path}", HISTORIANS, own_list=True),
    Operation("GET", "/v1/ledger/root/entries", HISTORIANS, own_list=True),
    Operation("GET", "/v1/ledger/root/proofs/consistency?old=0", HISTORIANS, own_list=True),
    Operation("GET", "/v1/ledger/policy", HISTORIANS, own_list=True),
    Operation("GET", "/v1/ledger/installation", HISTORIANS, for_all_only=True),
    Operation("GET", "/v1/ledger/installation/checkpoint", HISTORIANS, for_all_only=True),
    Operation("GET", "/v1/ledger/installation/tile/{path}", HISTORIANS, for_all_only=True),
    Operation("GET", "/v1/ledger/installation/policy", HISTORIANS, for_all_only=True),
    Operation("GET", "/v1/ledger/installation/proofs/consistency?old=0", HISTORIANS, for_all_only=True),
    Operation("GET", f"/v1/ledger/installation/proofs/event?{OPENING}", HISTORIANS, for_all_only=True),
    Operation("GET", f"/v1/ledger/installation/proofs/event.tlog-proof?{OPENING}", HISTORIANS, for_all_only=True),
    Operation("GET", f"/v1/ledger/installation/proofs/timestamp?{OPENING}", HISTORIANS, for_all_only=True),
    Operation("GET", f"{ORGANISATION}?version=1", HISTORIANS),
    Operation("GET", f"{ORGANISATION}/difference?from=1", HISTORIANS),
    Operation("GET", ACCOUNTS, READERS),
    Operation("POST", ACCOUNTS, WRITERS, {"kind": "master", "name": "New"}),
    Operation("POST", ACCOUNTS, WRITERS, {"kind": "master", "name": "Old", "opened_on": "2020-01-01"}, production=True),
    Operation("GET", ACCOUNT, READERS),
    Operation("GET", f"{ACCOUNT}?version=1", HISTORIANS),
    Operation("GET", f"{ACCOUNT}/events", HISTORIANS),
    Operation("GET", f"{ACCOUNT}/difference?from=1", HISTORIANS),
    Operation("PATCH", ACCOUNT, WRITERS, {"name": "Renamed"}),
    Operation("POST", f"{ACCOUNT}/close", WRITERS, {"reason": "contract ended"}, production=True),
    Operation("GET", CATALOGUE, READERS),
    Operation("GET", f"{CATALOGUE}/history", HISTORIANS),
    Operation("POST", f"{CATALOGUE}/preview", READERS, {"mode": "test", "preset": "read_only"}),
    Operation("PUT", CATALOGUE, ADMINISTRATORS, {"groups": "{groups}", "apis": "{apis}"}, live=True),
    Operation("POST", f"{CATALOGUE}/retire", ADMINISTRATORS, {"scopes": "{retired}"}, live=True),
    Operation("GET", f"{ORGANISATION}/applications", READERS),
    Operation("POST", f"{ORGANISATION}/applications", WRITERS, {"title": "New"}),
    Operation("GET", APPLICATION, READERS),
    Operation("GET", f"{APPLICATION}?version=1", HISTORIANS),
    Operation("GET", f"{APPLICATION}/events", HISTORIANS),
    Operation("GET", f"{APPLICATION}/difference?from=1", HISTORIANS),
    Operation("PATCH", APPLICATION, WRITERS, {"title": "Renamed"}),
    Operation("PUT", f"{APPLICATION}/apis", WRITERS, {"apis": ["orders"]}, live=True),
    Operation("POST", f"{APPLICATION}/archive", WRITERS, live=True),
    Operation("GET", CREDENTIALS, READERS),
    Operation("GET", f"{CREDENTIALS}?as_of=2026-01-01T00:00:00Z", HISTORIANS),
    Operation("POST", CREDENTIALS, WRITERS, KEY, live=True),
    Operation("GET", CREDENTIAL, READERS),
    Operation("GET", f"{CREDENTIAL}?version=1", HISTORIANS),
    Operation("GET", f"{CREDENTIAL}/events", HISTORIANS),
    Operation("GET", f"{CREDENTIAL}/usage", HISTORIANS),
    Operation("GET", f"{CREDENTIAL}/difference?from=1", HISTORIANS),
    Operation("PATCH", CREDENTIAL, WRITERS, {"name": "new"}, live=True),
    Operation("PUT", f"{CREDENTIAL}/allowlist", WRITERS, {"allowlist": ["192.0.2.1"]}, live=True),
    Operation("POST", f"{CREDENTIAL}/rotate", WRITERS, {"overlap_seconds": 60}, live=True),
    Operation("POST", f"{CREDENTIAL}/end-overlap", WRITERS, live=True),
    Operation("POST", f"{CREDENTIAL}/suspend", WRITERS, live=True),
    Operation("POST", f"{CREDENTIAL}/resume", WRITERS, live=True),
    Operation("POST", f"{CREDENTIAL}/revoke", WRITERS, live=True),
    Operation("POST", f"{CREDENTIAL}/erase", WRITERS, live=True),
    Operation("GET", BULK, READERS),
    Operation("POST", BULK, WRITERS, {**OF_ALL_KEYS, "dry_run": True}, live=True),
    Operation("POST", BULK, WRITERS, {**OF_ALL_KEYS, "digest": "0" * 64}, live=True),
    Operation("GET", f"{BULK}/{{run}}", READERS),
    Operation("GET", f"{ORGANISATION}/reports/owners", READERS),
    Operation("GET", f"{ORGANISATION}/reports/owners?as_of=2026-01-01T00:00:00Z", HISTORIANS),
    Operation("GET", f"{ORGANISATION}/retention", HISTORIANS),
    Operation("PUT", f"{ORGANISATION}/retention", ADMINISTRATORS, {"days": 90}, production=True),
    Operation("GET", f"{ORGANISATION}/readings", OVERSEERS),
    Operation("GET", "/v1/installation/readings", OVERSEERS, for_all_only=True),
    Operation("GET", EXPORTS, OVERSEERS),
    Operation("POST", EXPORTS, OVERSEERS, {"reason": "yearly audit"}),
    Operation("GET", f"{EXPORTS}/{{export}}", OVERSEERS),
    Operation("GET", f"{EXPORTS}/{{export}}/content", OVERSEERS),
    Operation("GET", f"{EXPORTS}/{{export}}/manifest?format=csv", OVERSEERS),
    Operation("GET", REVIEWS, OVERSEERS),
    Operation("POST", REVIEWS, OVERSEERS, {"reason": "yearly audit"}),
    Operation("GET", f"{REVIEWS}/{{access_review}}", OVERSEERS),
    Operation("GET", f"{REVIEWS}/{{access_review}}/content?format=csv", OVERSEERS),
    Operation("GET", f"{REVIEWS}/{{access_review}}/manifest?format=csv", OVERSEERS),
    Operation("GET", WEBHOOKS, READERS),
    Operation("POST", WEBHOOKS, ADMINISTRATORS, {"url": "https://hooks.example.com/"}),
    Operation("GET", WEBHOOK, READERS),
    Operation("GET", f"{WEBHOOK}?version=1", HISTORIANS),
    Operation("GET", f"{WEBHOOK}/events", HISTORIANS),
    Operation("GET", f"{WEBHOOK}/difference?from=1", HISTORIANS),
    Operation("PATCH", WEBHOOK, ADMINISTRATORS, {"description": "new"}),
    Operation("POST", f"{WEBHOOK}/disable", ADMINISTRATORS),
    Operation("POST", f"{WEBHOOK}/enable", ADMINISTRATORS),
    Operation("POST", f"{WEBHOOK}/rotate-secret", ADMINISTRATORS),
    Operation("POST", f"{WEBHOOK}/test", ADMINISTRATORS),
    Operation("DELETE", WEBHOOK, ADMINISTRATORS),
    Operation("GET", f"{WEBHOOK}/deliveries", READERS),
    Operation("GET", DELIVERY, READERS),
    Operation("POST", f"{DELIVERY}/replay", ADMINISTRATORS),
    Operation("GET", "/v1/operators", OVERSEERS, own_list=True),
    Operation("GET", "/v1/operators?organisation_id={organisation}", OVERSEERS),
    Operation("POST", "/v1/operators", ADMINISTRATORS, {"name": "New", "roles": ["viewer"]}, for_all_only=True),
    Operation(
        "POST",
        "/v1/operators",
        ADMINISTRATORS,
        {"name": "New", "roles": ["viewer"], "organisation_id": "{organisation}"},
    ),
    Operation(
        "POST",
        "/v1/operators",
        ADMINISTRATORS,
        {"name": "New", "roles": ["viewer"], "organisation_id": "{organisation}", "production": "{live}"},
        live=True,
    ),
    Operation("GET", OPERATOR, OVERSEERS),
    Operation("GET", f"{OPERATOR}?version=1", OVERSEERS),
    Operation("GET", f"{OPERATOR}/events", OVERSEERS),
    Operation("GET", f"{OPERATOR}/difference?from=1", OVERSEERS),
    Operation("PUT", f"{OPERATOR}/roles", ADMINISTRATORS, {"roles": ["auditor"], "production": "{live}"}),
    Operation("POST", f"{OPERATOR}/rotate-token", ADMINISTRATORS, live=True),
    Operation("POST", f"{OPERATOR}/end-overlap", ADMINISTRATORS),
    Operation("DELETE", OPERATOR, ADMINISTRATORS),
    Operation("POST", f"{OPERATOR}/erase", ADMINISTRATORS),
]

# What takes no operator's token, or has tests of its own for who may ask.
ELSEWHERE = {
    ("POST", "/v1/verify"),
    ("POST", "/v1/verify/batch"),
    ("GET", "/v1/authorize"),
    ("POST", "/oauth2/token"),
    ("POST", "/oauth2/introspect"),
    ("POST", "/oauth2/revoke"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("POST", "/v1/revocations"),
    ("GET", "/v1/secret-pattern"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/docs/style.css"),
    ("GET", "/problems/{code}"),
}


def test_every_route_is_in_the_table(app: Flask) -> None:
    in_the_table = {(o.method, o.path.partition("?")[0]) for o in OPERATIONS} | ELSEWHERE
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/console/"):
            continue  # tests/console/test_guard.py holds all its pages
        path = re.sub(r"<(?:\w+:)?(\w+?)(?:_id)?>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert (method, path) in in_the_table, f"{method} {path} is not in the table of who may do what"


@dataclass(frozen=True)
class Things:
    """What an operation is about, in one mode."""

    organisation: UUID
    account: UUID
    application: UUID
    credential: UUID
    operator: UUID
    run: UUID
    export: UUID
    review: UUID
    endpoint: UUID
    delivery: UUID
    live: bool

    def ask(self, caller: SignedIn, operation: Operation) -> tuple[int, str]:
        """The status and the problem's code of the operation, carried out by somebody."""
        body = operation.body
        if isinstance(body, dict):
            names = {
                "{organisation}": str(self.organisation),
                "{live}": self.live,
                "{groups}": given.groups({**OFFERED, "order:edit": ["live", "test"] if self.live else ["test"]}),
                "{apis}": given.apis(TAKEN),
                "{retired}": ["shipment:view" if self.live else "trial:view"],
            }
            body = {name: names.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
            if body.get("preset"):
                body["mode"] = "live" if self.live else "test"
        path = operation.path.format(
            organisation=self.organisation,
            account=self.account,
            application=self.application,
            credential=self.credential,
            operator=self.operator,
            endpoint=self.endpoint,
            delivery=self.delivery,
            run=self.run,
            export=self.export,
            access_review=self.review,
            path="entries/000.p/1",
        )
        headers = {"If-Match": "*"} if operation.method in ("PUT", "PATCH") else {}
        answer = caller(operation.method, path, body, headers)
        return answer.status_code, (answer.json or {}).get("code", "")


Make = Callable[..., Things]


@pytest.fixture
def make(services: Services) -> Make:
    """Makes an organisation with an account, a credential and an operator, live or test."""

    def made(live: bool) -> Things:
        organisation = given.an_organisation(services)
        given.a_catalogue(services, organisation, OFFERED, TAKEN)
        application = given.an_application(services, organisation)
        mode = Mode.LIVE if live else Mode.TEST
        credential, _ = given.a_credential(services, organisation, mode=mode, application_id=application)
        operator, _ = given.an_operator(services, Role.VIEWER, organisation_id=organisation, production=live)
        account = given.an_account(services, organisation)
        run = given.a_bulk_revocation(services, organisation, credential.id)
        export = given.an_export(services, organisation)
        review = given.an_access_review(services, organisation)
        for handed_out in (export, review):
            keep_written(services.store, handed_out, "csv", datetime.now(UTC), Written(0, {}, 0, "0" * 64))
        endpoint = given.a_webhook_endpoint(services, organisation)
        delivery = given.a_webhook_delivery(services, organisation, endpoint, credential.id)
        return Things(
            organisation, account, application, credential.id, operator, run, export, review, endpoint, delivery, live
        )

    return made


# Who was let through may still be told that the state of the thing forbids it: what is not suspended cannot be resumed.
ALLOWED = {200, 201, 409}
PROBLEMS = {401: "unauthorised", 403: "forbidden", 404: "not_found"}


def expected(operation: Operation, role: Role, *, scope: str, production: bool, live: bool) -> int | None:
    """The status that refuses; None for being let through."""
    if scope == "another" and not operation.own_list and not operation.for_all_only:
        return 404
    if operation.for_all_only and scope != "all":
        return 403
    if role not in operation.roles:
        return 403
    takes_the_grant = operation.production or (operation.live and live)
    return 403 if takes_the_grant and not production else None


@pytest.mark.timeout(900)  # each of some five hundred questions is asked about a new organisation
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("scope", ["own", "another", "all"])
def test_each_role_may_do_what_the_table_says(
    services: Services, sign_in: SignIn, make: Make, role: Role, scope: str
) -> None:
    wrong = []
    for production in (True, False):
        for live in (True, False):
            for operation in OPERATIONS:
                things = make(live)
                where = {"own": things.organisation, "all": None}.get(scope)
                if scope == "another":
                    where = given.an_organisation(services)
                caller = sign_in(role, organisation_id=where, production=production)
                if "/ledger" in operation.path or operation.path.endswith("/content"):
                    given.sealed(services)
                    given.stamped(services)
                if operation.path.startswith(f"{REVIEWS}/") or "owners?as_of" in operation.path:
                    catch_up(services)
                head = services.log.head()
                status, code = things.ask(caller, operation)
                refusal = expected(operation, role, scope=scope, production=production, live=live)
                told = (operation.method, operation.path, production, live, status, code)
                if refusal is None:
                    if status not in ALLOWED:
                        wrong.append(told)
                elif (status, code) != (refusal, PROBLEMS[refusal]) or services.log.head() != head:
                    wrong.append(told)

    assert wrong == []


def test_without_a_token_nothing_is_told(client: FlaskClient, services: Services, make: Make) -> None:
    things = make(False)
    stranger = SignedIn(client, "", things.operator)
    head = services.log.head()

    assert {things.ask(stranger, operation) for operation in OPERATIONS} == {(401, "unauthorised")}
    assert services.log.head() == head


def test_a_removed_operator_is_a_stranger(administrator: SignedIn, sign_in: SignIn, make: Make) -> None:
    gone = sign_in(Role.ADMINISTRATOR)
    assert administrator("DELETE", f"/v1/operators/{gone.operator_id}").status_code == 200

    assert {make(False).ask(gone, operation) for operation in OPERATIONS} == {(401, "unauthorised")}


@pytest.mark.parametrize("role", list(Role))
def test_everyone_reads_themselves_and_rotates_their_own_token(
    client: FlaskClient, sign_in: SignIn, organisation: UUID, role: Role
) -> None:
    me = sign_in(role, organisation_id=organisation)
    path = f"/v1/operators/{me.operator_id}"

    assert me("GET", path).json["id"] == str(me.operator_id)
    rotated = me("POST", f"{path}/rotate-token", {"overlap_seconds": 60})
    assert SignedIn(client, rotated.json["secret"], me.operator_id)("GET", path).status_code == 200
    assert me("GET", path).status_code == 200
    assert me("POST", f"{path}/rotate-token").status_code == 200
    assert me("GET", path).status_code == 401


def test_nobody_gets_the_grant_for_production_through_another_operator(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    without = sign_in(Role.ADMINISTRATOR, organisation_id=organisation, production=False)
    granted, _ = given.an_operator(services, Role.OPERATOR, organisation_id=organisation, production=True)
    path = f"/v1/operators/{granted}"

    assert without("POST", f"{path}/rotate-token").json["code"] == "forbidden"
    kept = without("PUT", f"{path}/roles", {"roles": ["viewer"], "production": True}, {"If-Match": "*"})
    assert kept.status_code == 200  # it has the grant already: nobody is given anything
    taken = without("PUT", f"{path}/roles", {"roles": ["viewer"], "production": False}, {"If-Match": "*"})
    assert taken.status_code == 200


def test_what_supersedes_must_be_of_the_same_organisation(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    other, _ = given.a_credential(services, given.an_organisation(services))

    answer = administrator(
        "POST",
        f"/v1/organisations/{organisation}/credentials",
        {"kind": "api_key", "mode": "test", "preset": "read_only", "supersedes": str(other.id)},
    )

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "supersedes")
