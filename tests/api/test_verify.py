"""POST /v1/verify: every code, every kind of secret, and who may ask."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.app import create_app
from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    CreateCredential,
    EndOverlap,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SuspendCredential,
)
from ledger.issuing import adopt_credential, issue_credential
from ledger.secrets import SECRET_CHARS_MAX
from ledger.values import Channel, Kind, Mode, Network, PublicId, Role, Scope
from ledger.verification import Code
from projections.verification_cache import VerificationCache
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn

YESTERDAY = timedelta(days=1)


def ask(verifier: SignedIn, secret: str, **more: Any) -> Answer:
    """The verdict on a secret."""
    answer = verifier("POST", "/v1/verify", {"secret": secret, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json["valid"] is (answer.json["code"] == "VALID")
    return answer


def code(verifier: SignedIn, secret: str, **more: Any) -> str:
    """The code of the verdict on a secret."""
    found: str = ask(verifier, secret, **more).json["code"]
    return found


# --- the codes -------------------------------------------------------------------------------------------------------


def test_valid_tells_whose_credential_it_is_and_what_it_may(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    receipt, secret = given.a_credential(
        services, organisation, scopes=(Scope("customer:edit"), Scope("customer:view"))
    )

    answer = ask(verifier, secret, mode="live", scopes=["customer:view"])

    told = dict(answer.json)
    assert told.pop("public_id").startswith("ak_live_")
    assert told.pop("request_id") == answer.headers["X-Request-Id"]
    assert told == {
        "valid": True,
        "code": "VALID",
        "credential_id": str(receipt.id),
        "organisation_id": str(organisation),
        "application_id": None,
        "kind": "api_key",
        "mode": "live",
        "environment": None,
        "channel": None,
        "scopes": ["customer:edit", "customer:view"],
        "expires_at": None,
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert secret not in answer.text


def test_not_found_is_what_was_never_issued_and_tells_nothing(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    given.a_credential(services, organisation)
    never_stored = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).plaintext

    for secret in (never_stored, "of another system"):
        told = ask(verifier, secret).json
        assert told.pop("request_id")
        assert (told.pop("valid"), told.pop("code"), told.pop("scopes")) == (False, "NOT_FOUND", [])
        assert set(told.values()) == {None}


def test_malformed_is_what_cannot_have_been_issued(services: Services, verifier: SignedIn) -> None:
    good = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).plaintext
    mistyped = good[:-1] + ("a" if good[-1] != "a" else "b")

    assert {code(verifier, secret) for secret in (mistyped, good + "x", good[:-1], good + " ", "kl_")} == {"MALFORMED"}


def test_malformed_is_a_secret_that_needs_its_public_identifier_without_it(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    client, pair = PublicId("client_live_1"), PublicId("pk_live_1")
    _, of_client = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT, public_id=client)
    _, of_pair = given.a_credential(services, organisation, kind=Kind.KEY_PAIR, public_id=pair)

    assert (code(verifier, of_client), code(verifier, of_pair)) == ("MALFORMED", "MALFORMED")
    assert code(verifier, of_client, public_id=client) == code(verifier, of_pair, public_id=pair) == "VALID"


def test_revoked_from_the_moment_that_revoking_is_answered(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    receipt, secret = given.a_credential(services, organisation)
    assert code(verifier, secret) == "VALID"

    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipt.id))

    told = ask(verifier, secret).json
    assert (told["code"], told["credential_id"]) == ("REVOKED", str(receipt.id))


def test_suspended_until_it_is_resumed(services: Services, verifier: SignedIn, organisation: UUID) -> None:
    receipt, secret = given.a_credential(services, organisation)

    services.ledger.handle(SuspendCredential(context=given.context(), credential_id=receipt.id))
    suspended = code(verifier, secret)
    services.ledger.handle(ResumeCredential(context=given.context(), credential_id=receipt.id))

    assert (suspended, code(verifier, secret)) == ("SUSPENDED", "VALID")


def test_expired_once_its_time_is_over(services: Services, verifier: SignedIn, organisation: UUID) -> None:
    now = datetime.now(UTC)
    before = given.context(at=now - 2 * YESTERDAY)
    _, over = given.a_credential(services, organisation, context=before, expires_at=now - YESTERDAY)
    _, to_come = given.a_credential(services, organisation, context=before, expires_at=now + YESTERDAY)

    assert (code(verifier, over), code(verifier, to_come)) == ("EXPIRED", "VALID")


def test_expired_is_the_older_secret_when_an_overlap_ends(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    receipt, older = given.a_credential(services, organisation)
    newer = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE)
    services.ledger.handle(
        RotateSecret(context=given.context(), credential_id=receipt.id, secret=newer.stored, overlap=timedelta(hours=1))
    )
    assert (code(verifier, older), code(verifier, newer.plaintext)) == ("VALID", "VALID")

    services.ledger.handle(EndOverlap(context=given.context(), credential_id=receipt.id))

    assert (code(verifier, older), code(verifier, newer.plaintext)) == ("EXPIRED", "VALID")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "VALID"),
        ("::ffff:192.0.2.7", "VALID"),
        ("2001:db8::7", "VALID"),
        ("192.0.3.7", "IP_NOT_ALLOWED"),
        ("2001:db9::7", "IP_NOT_ALLOWED"),
        ("", "IP_NOT_ALLOWED"),
        (None, "IP_NOT_ALLOWED"),
    ],
)
def test_an_allowlist_admits_its_networks_and_nobody_without_an_address(
    services: Services, verifier: SignedIn, organisation: UUID, address: str | None, expected: str
) -> None:
    allowed = (Network("192.0.2.0/24"), Network("2001:db8::/32"))
    _, secret = given.a_credential(services, organisation, networks=allowed)

    assert code(verifier, secret, client_ip=address) == expected


def test_a_gateways_own_address_is_not_taken_for_its_clients(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    _, secret = given.a_credential(services, organisation, networks=(Network("127.0.0.0/8"),))

    assert code(verifier, secret) == "IP_NOT_ALLOWED"
    assert code(verifier, secret, client_ip="127.0.0.1") == "VALID"


def test_wrong_mode_where_a_mode_is_required(services: Services, verifier: SignedIn, organisation: UUID) -> None:
    _, live = given.a_credential(services, organisation, mode=Mode.LIVE)
    _, test = given.a_credential(services, organisation, mode=Mode.TEST)

    assert [code(verifier, live, mode=mode) for mode in ("live", "test", None)] == ["VALID", "WRONG_MODE", "VALID"]
    assert [code(verifier, test, mode=mode) for mode in ("live", "test", None)] == ["WRONG_MODE", "VALID", "VALID"]


def test_wrong_channel_for_a_key_of_one_channel_anywhere_else(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    _, secret = given.a_credential(services, organisation, channel=Channel.REST)

    codes = [code(verifier, secret, channel=channel) for channel in ("rest", "ftp", None)]

    assert codes == ["VALID", "WRONG_CHANNEL", "WRONG_CHANNEL"]


def test_insufficient_scope_unless_it_has_all_that_is_required(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    _, secret = given.a_credential(services, organisation, scopes=(Scope("customer:view"),))

    assert code(verifier, secret, scopes=["customer:view"]) == "VALID"
    assert code(verifier, secret, scopes=["customer:view", "customer:edit"]) == "INSUFFICIENT_SCOPE"
    assert code(verifier, secret, scopes=["unheard:of"]) == "INSUFFICIENT_SCOPE"
    assert code(verifier, secret, scopes=[""]) == "INSUFFICIENT_SCOPE"


def test_api_not_connected_where_no_application_connects_it(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    _, secret = given.a_credential(services, organisation)

    assert code(verifier, secret, api="payments") == "API_NOT_CONNECTED"


def test_every_code_is_explained_in_the_documentation() -> None:
    rows = (Path(__file__).parents[2] / "docs/verification.md").read_text().splitlines()

    assert [one for one in Code if not any(row.startswith(f"| `{one}` | ") for row in rows)] == []


# --- the kinds of secrets --------------------------------------------------------------------------------------------


def test_a_chosen_password_is_good_with_its_login_on_its_channel_alone(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    password = "Stürmische Überfahrt nach Helgoland"
    command, _ = issue_credential(
        services.keyring.digests,
        DEFAULT_CATALOGUE,
        given.context(),
        organisation,
        kind="channel_login",
        mode="live",
        channel="ftp",
        login="acme.upload",
        chosen_secret=password,
        contact_email="dev@example.com",
        preset="write",
    )
    services.ledger.handle(command)
    decomposed = password.replace("ü", "u\u0308").replace("Ü", "U\u0308")

    assert code(verifier, password, public_id="acme.upload", channel="ftp") == "VALID"
    assert code(verifier, password, public_id="ACME.Upload", channel="ftp") == "VALID"
    assert code(verifier, decomposed, public_id="acme.upload", channel="ftp") == "VALID"
    for said in (
        {"public_id": "acme.upload", "channel": "email"},
        {"public_id": "acme.upload"},
        {"public_id": "acme.download", "channel": "ftp"},
        {"public_id": "../\x00' OR 1=1", "channel": "ftp"},
        {"channel": "ftp"},
    ):
        assert code(verifier, password, **said) == "NOT_FOUND"
    assert code(verifier, password + "!", public_id="acme.upload", channel="ftp") == "NOT_FOUND"


@pytest.mark.parametrize("secret", ["sk_live_of_the_old_system", "schlüssel"])
def test_a_key_that_another_system_issued_goes_on_working_by_its_sha256(
    services: Services, verifier: SignedIn, organisation: UUID, secret: str
) -> None:
    sha256 = hashlib.sha256(secret.encode()).hexdigest()
    command = _adopt(services, organisation, sha256, kind="api_key")
    services.ledger.handle(command)

    told = ask(verifier, secret).json

    assert (told["code"], told["credential_id"]) == ("VALID", str(command.credential_id))
    assert code(verifier, secret + "x") == "NOT_FOUND"
    assert code(verifier, sha256) == "NOT_FOUND"  # what the other system kept is no secret to get in with


def _adopt(services: Services, organisation: UUID, sha256: str, **more: Any) -> CreateCredential:
    return adopt_credential(
        services.keyring.digests,
        DEFAULT_CATALOGUE,
        given.context(),
        organisation,
        sha256=sha256,
        imported_from="the old system",
        mode="live",
        contact_email="dev@example.com",
        preset="read_only",
        **more,
    )


def test_a_key_pair_is_its_public_and_its_shared_key_together(
    services: Services, verifier: SignedIn, organisation: UUID
) -> None:
    one, other = PublicId("pk_live_one"), PublicId("pk_live_other")
    _, secret = given.a_credential(services, organisation, kind=Kind.KEY_PAIR, public_id=one)
    _, others = given.a_credential(services, organisation, kind=Kind.KEY_PAIR, public_id=other)

    assert code(verifier, secret, public_id=one) == "VALID"
    assert code(verifier, others, public_id=one) == "NOT_FOUND"
    assert code(verifier, one, public_id=one) == "NOT_FOUND"
    assert code(verifier, secret, public_id=str(one).upper()) == "NOT_FOUND"


def test_an_operators_token_is_no_credential(verifier: SignedIn) -> None:
    assert code(verifier, verifier.token) == "MALFORMED"
    assert code(verifier, verifier.token, public_id="Ada") == "NOT_FOUND"


# --- who may ask -----------------------------------------------------------------------------------------------------


def test_another_organisations_credential_is_not_found_whatever_its_state(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    elsewhere = given.an_organisation(services, "Umbrella")
    theirs, ours = (sign_in(Role.VERIFIER, organisation_id=one) for one in (elsewhere, organisation))
    receipt, secret = given.a_credential(services, organisation)
    assert (code(ours, secret), code(theirs, secret)) == ("VALID", "NOT_FOUND")

    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipt.id))

    assert code(ours, secret) == "REVOKED"
    told = ask(theirs, secret).json
    assert (told["code"], told["credential_id"], told["organisation_id"]) == ("NOT_FOUND", None, None)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.VERIFIER])
def test_only_a_verifier_may_ask(services: Services, sign_in: SignIn, organisation: UUID, role: Role) -> None:
    _, secret = given.a_credential(services, organisation)

    answer = sign_in(role)("POST", "/v1/verify", {"secret": secret})

    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert "valid" not in answer.json


def test_without_a_good_token_nothing_is_said(services: Services, verifier: SignedIn, organisation: UUID) -> None:
    _, secret = given.a_credential(services, organisation)
    unknown = services.keyring.digests.issue("operator", Mode.LIVE).plaintext

    for token in ("", "Bearer", "Bearer nothing", f"Bearer {secret}", f"Bearer {unknown}", f"Basic {verifier.token}"):
        answer = verifier("POST", "/v1/verify", {"secret": secret}, {"Authorization": token})
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorised"), token
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"secret": ""}, "secret"),
        ({"secret": "x" * (SECRET_CHARS_MAX + 1)}, "secret"),
        ({"secret": None}, "secret"),
        ({"client_ip": "192.0.2.0/24"}, "client_ip"),
        ({"client_ip": "fe80::1%"}, "client_ip"),
        ({"mode": ""}, "mode"),
        ({"mode": "production"}, "mode"),
        ({"channel": "telex"}, "channel"),
        ({"scopes": "customer:view"}, "scopes"),
        ({"ip": "192.0.2.7"}, "ip"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused_with_the_field_it_is_about(
    verifier: SignedIn, said: dict[str, Any], field: str
) -> None:
    answer = verifier("POST", "/v1/verify", {"secret": "x", **said})

    assert answer.status_code == 422, answer.text
    assert {error["field"] for error in answer.json["errors"]} == {field}


def test_a_mistyped_secret_is_not_looked_for(services: Services, organisation: UUID, verifier: SignedIn) -> None:
    cache = VerificationCache(services.log, entries_max=10, seconds_max=60)
    gateway = SignedIn(create_app(replace(services, cache=cache)).test_client(), verifier.token, verifier.operator_id)
    _, good = given.a_credential(services, organisation)

    assert code(gateway, good[:-1] + ("a" if good[-1] != "a" else "b")) == "MALFORMED"
    assert (cache.hits, cache.misses) == (0, 0)
    assert code(gateway, good) == "VALID"
    assert (cache.hits, cache.misses) == (0, 1)
