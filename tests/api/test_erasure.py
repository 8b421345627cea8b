"""Erasure is complete: of the person behind a credential nothing is left in the database, nor in any answer."""

from dataclasses import replace
from uuid import UUID

import pytest
from psycopg import sql

from api.app import create_app
from api.bulk_revoking import sweep_bulk_revocations
from api.wiring import Services
from ledger.tlog import checkpoints, leaves, merkle
from ledger.tlog.checkpoints import Checkpoint
from ledger.values import Role
from projections.sealed import reading
from projections.usage import UsageRecorder
from projections.webhook_delivery import TRACKING, queue_events
from tests import given
from tests.api.conftest import SignedIn
from tests.projections.keeping_up import catch_up

EMAIL, LOGIN, NETWORK, CALLER = "grace.hopper@navy.example", "ghopper.ftp", "198.51.100.32/28", "198.51.100.37"
PERSONAL = (EMAIL, LOGIN, NETWORK, CALLER, "198.51.100.32")


def tables_holding(services: Services, text: str) -> set[str]:
    """The tables of the whole schema that hold a text, in any letter case, in any column of any type: in clear, or as
    the bytes of a column of bytes.
    """
    found = set()
    with services.store.connect() as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'm')"
        ).fetchall()
        for (name,) in names:
            held = connection.execute(
                sql.SQL(
                    "SELECT count(*) FROM {} t WHERE position(lower(%(text)s) IN lower(t::text)) > 0 "
                    "OR position(%(hex)s IN t::text) > 0"
                ).format(sql.Identifier(name)),
                {"text": text, "hex": text.encode().hex()},
            ).fetchone()
            if held is not None and held[0]:
                found.add(name)
    return found


@pytest.fixture
def services(services: Services) -> Services:
    """Those of a process that verifies."""
    return replace(services, usage=UsageRecorder(services.store, 60))


@pytest.fixture
def client_of(services: Services) -> SignedIn:
    operator_id, token = given.an_operator(services, Role.ADMINISTRATOR)
    return SignedIn(create_app(services).test_client(), token, operator_id)


def test_nothing_in_the_whole_database_holds_an_erased_persons_data_and_every_proof_still_holds(
    services: Services, client_of: SignedIn, organisation: UUID
) -> None:
    credentials = f"/v1/organisations/{organisation}/credentials"
    account = given.an_account(services, organisation)
    given.a_webhook_endpoint(services, organisation)
    created = client_of(
        "POST",
        credentials,
        {
            "kind": "channel_login",
            "channel": "ftp",
            "login": LOGIN,
            "secret": "correct horse battery 77",
            "account_id": str(account),
            "mode": "live",
            "contact_email": EMAIL,
            "name": "Nightly upload",
            "preset": "read_only",
            "allowlist": [NETWORK],
        },
        {"Idempotency-Key": "create"},
    )
    assert created.status_code == 201, created.text
    one = f"{credentials}/{created.json['id']}"
    asked = {"public_id": LOGIN, "channel": "ftp", "secret": "correct horse battery 77", "client_ip": CALLER}
    operator_id, token = given.an_operator(services, Role.VERIFIER, name="gateway")
    assert services.usage is not None
    gateway = SignedIn(client_of.client, token, operator_id)
    assert gateway("POST", "/v1/verify", asked).json["valid"]
    services.usage.flush()
    runs = f"/v1/organisations/{organisation}/bulk-revocations"
    chosen = {"filter": {"contact_email": EMAIL.upper()}, "revocation_reason": "owner_left", "reason": "left"}
    digest = client_of("POST", runs, {**chosen, "dry_run": True}).json["digest"]
    run = client_of("POST", runs, {**chosen, "digest": digest}, {"Idempotency-Key": "run"})
    assert run.status_code == 201, run.text
    while sweep_bulk_revocations(services):
        pass
    catch_up(services)
    queue_webhooks(services)
    given.sealed(services)
    assert tables_holding(services, EMAIL) == {"credential_status", "credential_list", "bulk_revocation_status"}
    assert tables_holding(services, LOGIN) >= {"credential_status", "credential_list", "ledger_claims"}
    assert tables_holding(services, CALLER) == {"address_usage"}
    before = signed(services, organisation)

    erased = client_of("POST", f"{one}/erase", {"reason": "asked to"}, {"Idempotency-Key": "erase"})
    assert erased.status_code == 200, erased.text
    catch_up(services)
    queue_webhooks(services)
    assert not gateway("POST", "/v1/verify", asked).json["valid"]
    services.usage.flush()

    assert {text: tables_holding(services, text) for text in PERSONAL} == {text: set() for text in PERSONAL}
    answers = [
        client_of("GET", path).text
        for path in (one, f"{one}/events", f"{one}/usage", credentials, f"{credentials}?q=hopper", runs)
    ]
    answers.append(client_of("GET", f"{runs}/{run.json['id']}").text)
    assert not [text for text in PERSONAL if text in "".join(answers).lower()]
    again = client_of("POST", f"{one}/erase", {"reason": "asked to"}, {"Idempotency-Key": "erase"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")

    given.sealed(services)
    now = signed(services, organisation)
    with services.store.connect() as connection:
        proof = reading.consistency_proof(connection, organisation, before.size, now.size)
        merkle.verify_consistency(before.size, now.size, proof, before.root, now.root)
        of_organisation = [e for e in services.log.stored_after(0, 1000) if e.organisation_id == str(organisation)]
        assert len(of_organisation) == now.size
        for event in of_organisation:
            found = reading.find_event(connection, UUID(event.aggregate_id), event.aggregate_version)
            assert found is not None
            assert leaves.parse(found.entry).digest == leaves.state_digest(found.salt, event.state)
            proof = reading.inclusion_proof(connection, organisation, found.index, now.size)
            merkle.verify_inclusion(found.index, now.size, merkle.leaf_hash(found.entry), proof, now.root)


def signed(services: Services, organisation: UUID) -> Checkpoint:
    """The organisation's newest checkpoint."""
    with services.store.connect() as connection:
        tree = reading.find_tree(connection, organisation)
    assert tree is not None
    return checkpoints.parse(tree.checkpoint.partition("\n\n")[0] + "\n")


def queue_webhooks(services: Services) -> None:
    """Queue all that there is to tell."""
    with services.store.connect() as connection:
        connection.execute(
            "INSERT INTO projection_tracking (name, position) VALUES (%s, 0) ON CONFLICT DO NOTHING", (TRACKING,)
        )
        while queue_events(services.log, connection):
            pass


def test_a_removed_operators_name_and_email_are_erased_everywhere(services: Services, client_of: SignedIn) -> None:
    enrolled = client_of(
        "POST",
        "/v1/operators",
        {"name": "Grace Hopper", "email": EMAIL, "organisation_id": None, "roles": ["auditor"]},
        {"Idempotency-Key": "enrol"},
    )
    one = f"/v1/operators/{enrolled.json['id']}"
    assert client_of("POST", f"{one}/erase").json["code"] == "operator_not_removed"
    assert client_of("DELETE", one).status_code == 200
    catch_up(services)
    assert tables_holding(services, EMAIL) == tables_holding(services, "Grace Hopper") == {"operator_status"}

    erased = client_of("POST", f"{one}/erase")

    assert (erased.status_code, erased.json["name"], erased.json["email"]) == (200, "", None)
    assert erased.json["erased_at"] is not None
    assert tables_holding(services, EMAIL) == tables_holding(services, "Grace Hopper") == set()
    assert client_of("POST", f"{one}/erase").json["code"] == "operator_erased"
    retried = client_of(
        "POST",
        "/v1/operators",
        {"name": "Grace Hopper", "email": EMAIL, "organisation_id": None, "roles": ["auditor"]},
        {"Idempotency-Key": "enrol"},
    )
    assert (retried.status_code, retried.json["code"]) == (409, "idempotency_answer_expired")
