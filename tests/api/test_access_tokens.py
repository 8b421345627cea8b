"""Access tokens at /v1/authorize and from memory: as good as the credential is now, with the scopes of the token."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from api import access_tokens, signing
from api.app import create_app
from api.attempts import FailedAttempts
from api.observability import ObservedLedger
from api.wiring import INLINE_ROWS, Services
from ledger.commands import (
    Command,
    ConnectApis,
    EndOverlap,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SuspendCredential,
)
from ledger.permissions import api_names
from ledger.values import Kind, Mode, Network, Role, Scope, SigningAlgorithm
from projections import verification_cache
from projections.verification_cache import REVOKED_TOKENS_MAX, VerificationCache
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.api.test_oauth import OAuthClient, a_client, by_gateway, rotate
from tests.waiting import SECONDS_MAX, until


@pytest.fixture(params=["from PostgreSQL", "from memory"])
def worker(request: pytest.FixtureRequest, services: Services) -> Iterator[Services]:
    """The services of a worker that keeps what it looked up, and of one that does not."""
    if request.param == "from PostgreSQL":
        yield services
        return
    cache = VerificationCache(services.log, entries_max=100, seconds_max=60)
    cache.start()
    yield replace(services, cache=cache, ledger=ObservedLedger(services.log, INLINE_ROWS, cache))
    cache.stop()


@pytest.fixture
def client(worker: Services) -> FlaskClient:
    """A client of that worker."""
    return create_app(worker).test_client()


@dataclass
class Proxy:
    """A proxy that passes a token on to the worker."""

    client: FlaskClient
    verifier: SignedIn

    def __call__(self, token: str, query: str = "") -> Any:
        """The answer, asked twice so that the second comes from memory where there is one: both are alike."""
        first, second = (self.ask(token, query) for _ in range(2))
        assert (first.status_code, first.headers.get("X-Code")) == (second.status_code, second.headers.get("X-Code"))
        return second

    def ask(self, token: str, query: str = "") -> Any:
        """The answer, asked once, as two may differ while something changes."""
        headers = {"X-Gateway-Token": self.verifier.token, "Authorization": f"Bearer {token}"}
        return self.client.get(f"/v1/authorize{query}", headers=headers)

    def code(self, token: str, query: str = "") -> str:
        """VALID, or the code of the refusal."""
        answer = self(token, query)
        return "VALID" if answer.status_code == 200 else answer.headers["X-Code"]


@pytest.fixture
def proxy(client: FlaskClient, verifier: SignedIn) -> Proxy:
    """A proxy with a gateway's token."""
    return Proxy(client, verifier)


def test_a_token_is_let_through_with_its_own_scopes_and_its_credential_named(
    client: FlaskClient, services: Services, organisation: UUID, proxy: Proxy
) -> None:
    holder = a_client(client, services, organisation, scopes=(Scope("customer:edit"), Scope("customer:view")))
    narrowed = holder.token(scope="customer:view")

    answer = proxy(narrowed)

    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["X-Credential-Id"] == str(holder.id)
    assert answer.headers["X-Organisation-Id"] == str(organisation)
    assert answer.headers["X-Public-Id"] == holder.public_id
    assert answer.headers["X-Mode"] == "live"
    assert answer.headers["X-Scopes"] == "customer:view"
    assert proxy(holder.token()).headers["X-Scopes"] == "customer:edit customer:view"
    assert proxy.code(narrowed, "?scopes=customer:view") == "VALID"
    assert proxy.code(narrowed, "?scopes=customer:edit") == "INSUFFICIENT_SCOPE"
    assert proxy.code(narrowed, "?mode=test") == "WRONG_MODE"


def test_a_token_comes_as_bearer_alone(
    client: FlaskClient, services: Services, organisation: UUID, verifier: SignedIn
) -> None:
    token = a_client(client, services, organisation).token()
    for said in ({"X-API-Key": token}, {"Authorization": "Basic " + token}):
        answer = client.get("/v1/authorize", headers={"X-Gateway-Token": verifier.token, **said})
        assert answer.status_code == 401


def test_whatever_ends_the_credential_ends_its_tokens_and_what_is_lifted_brings_them_back(
    worker: Services, client: FlaskClient, organisation: UUID, proxy: Proxy
) -> None:
    holder = a_client(client, worker, organisation)
    token = holder.token()
    about: dict[str, Any] = {"context": given.context(), "credential_id": holder.id}
    for command, code in (
        (None, "VALID"),
        (SuspendCredential(**about), "SUSPENDED"),
        (ResumeCredential(**about), "VALID"),
        (RevokeCredential(**about), "REVOKED"),
    ):
        if command is not None:
            worker.ledger.handle(command)
        assert proxy.code(token) == code


def replaced(services: Services, holder: OAuthClient) -> list[Command]:
    """The commands that give the client another secret, and at once end the one before."""
    issued = services.keyring.digests.issue(Kind.OAUTH_CLIENT, Mode.LIVE)
    about: dict[str, Any] = {"context": given.context(), "credential_id": holder.id}
    return [RotateSecret(secret=issued.stored, overlap=timedelta(hours=1), **about), EndOverlap(**about)]


def test_a_token_ends_with_the_secret_that_it_was_issued_for(
    worker: Services, client: FlaskClient, organisation: UUID, proxy: Proxy
) -> None:
    holder = a_client(client, worker, organisation)
    token = holder.token()
    rotation, end = replaced(worker, holder)
    worker.ledger.handle(rotation)
    assert proxy.code(token) == "VALID"
    worker.ledger.handle(end)
    assert proxy.code(token) == "EXPIRED"


def test_a_token_that_its_client_gave_up_is_refused_at_once_and_another_is_not(
    client: FlaskClient, services: Services, organisation: UUID, proxy: Proxy
) -> None:
    holder = a_client(client, services, organisation)
    first, second = holder.token(), holder.token()
    assert proxy.code(first) == "VALID"
    holder.post("/oauth2/revoke", {"token": first})
    assert (proxy.code(first), proxy.code(second)) == ("REVOKED", "VALID")


def test_a_key_that_was_given_up_ends_its_tokens(
    worker: Services, client: FlaskClient, organisation: UUID, proxy: Proxy
) -> None:
    holder = a_client(client, worker, organisation)
    token = holder.token()
    assert proxy.code(token) == "VALID"
    rotate(worker, SigningAlgorithm.EDDSA, timedelta(0))
    assert proxy.code(token) == "REVOKED"
    client.get("/.well-known/jwks.json")  # the keys are read anew
    assert proxy.code(holder.token()) == "VALID"


@pytest.mark.parametrize("seen", [True, False])
def test_whoever_still_has_a_token_of_a_key_that_was_given_up_does_not_guess(
    services: Services, organisation: UUID, verifier: SignedIn, seen: bool
) -> None:
    attempts = FailedAttempts(replace(services.settings, failures_per_address=3))
    client = create_app(replace(services, attempts=attempts)).test_client()
    proxy, holder = Proxy(client, verifier), a_client(client, services, organisation)
    token = holder.token()
    if seen:
        assert proxy.code(token) == "VALID"
    rotate(services, SigningAlgorithm.EDDSA, timedelta(0))
    client.get("/.well-known/jwks.json")  # the keys are read anew

    for _ in range(5):
        assert proxy.code(token, "?client_ip=192.0.2.7") == "REVOKED"
    assert not holder.active(token)
    assert proxy.code(holder.token(), "?client_ip=192.0.2.7") == "VALID"


def test_a_token_that_expired_is_refused(
    worker: Services,
    client: FlaskClient,
    organisation: UUID,
    proxy: Proxy,
    verifier: SignedIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = a_client(client, worker, organisation).token()
    assert proxy.code(token) == "VALID"
    expires_at = datetime.now(UTC) + timedelta(seconds=worker.settings.access_token_seconds)
    monkeypatch.setattr(access_tokens, "_expired", lambda claims, _at: claims["exp"] <= expires_at.timestamp() + 1)
    assert proxy.code(token) == "EXPIRED"
    assert by_gateway(client, verifier, token) == {"active": False}


def test_a_token_for_an_api_is_good_there_alone(
    worker: Services, client: FlaskClient, organisation: UUID, proxy: Proxy
) -> None:
    given.a_catalogue(
        worker,
        organisation,
        {"order:view": ["live"], "shipment:view": ["live"]},
        {"orders": ["order:view"], "shipments": ["shipment:view"]},
    )
    application = given.an_application(worker, organisation, "orders", "shipments")
    scopes = (Scope("order:view"), Scope("shipment:view"))
    holder = a_client(client, worker, organisation, application_id=application, scopes=scopes)
    everywhere = holder.token()
    there = holder.token(resource=f"{worker.settings.issuer_url}/organisations/{organisation}/apis/orders")

    assert (proxy.code(there), proxy.code(there, "?api=orders")) == ("VALID", "VALID")
    assert proxy(there).headers["X-Scopes"] == "order:view"
    assert proxy.code(there, "?api=shipments") != "VALID"
    assert proxy.code(everywhere, "?api=shipments") == "VALID"

    worker.ledger.handle(
        ConnectApis(context=given.context(), application_id=application, apis=api_names(["shipments"]))
    )
    assert proxy.code(there) == "API_NOT_CONNECTED"
    assert proxy(everywhere).headers["X-Scopes"] == "shipment:view"


def test_a_clients_allowlist_holds_for_its_tokens(
    client: FlaskClient, services: Services, organisation: UUID, proxy: Proxy
) -> None:
    inside = a_client(client, services, organisation, networks=(Network("127.0.0.0/8"),)).token()
    assert proxy.code(inside, "?client_ip=127.0.0.9") == "VALID"
    assert proxy.code(inside, "?client_ip=192.0.2.1") == "IP_NOT_ALLOWED"


def test_another_organisations_proxy_learns_nothing_of_a_token(
    client: FlaskClient, services: Services, organisation: UUID, sign_in: SignIn
) -> None:
    token = a_client(client, services, organisation).token()
    theirs = sign_in(Role.VERIFIER, organisation_id=given.an_organisation(services))
    ours = sign_in(Role.VERIFIER, organisation_id=organisation)
    assert Proxy(client, theirs).code(token) == "NOT_FOUND"
    assert Proxy(client, ours).code(token) == "VALID"


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"),
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: "eyJ." + token.partition(".")[2],
        lambda token: "eyJhbGciOiJub25lIn0." + token.split(".")[1] + ".",
    ],
    ids=["another signature", "none", "another header", "no algorithm"],
)
def test_what_was_not_signed_here_is_no_token(
    client: FlaskClient, services: Services, organisation: UUID, proxy: Proxy, change: Callable[[str], str]
) -> None:
    answer = proxy(change(a_client(client, services, organisation).token()))
    assert (answer.status_code, answer.headers["X-Code"]) == (401, "NOT_FOUND")


def test_the_two_ways_to_ask_agree(
    client: FlaskClient, services: Services, organisation: UUID, proxy: Proxy, verifier: SignedIn
) -> None:
    holder = a_client(client, services, organisation, networks=(Network("192.0.2.0/24"), Network("127.0.0.1/32")))
    token = holder.token(scope="customer:view")
    told = by_gateway(client, verifier, token, client_ip="192.0.2.7", mode="live")
    answer = proxy(token, "?client_ip=192.0.2.7&mode=live")
    assert (told["active"], answer.status_code) == (True, 200)
    assert (told["scope"], told["credential_id"]) == (answer.headers["X-Scopes"], answer.headers["X-Credential-Id"])


# --- from memory -----------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(services: Services) -> Iterator[VerificationCache]:
    """A cache that follows this test's ledger."""
    found = VerificationCache(services.log, entries_max=100, seconds_max=60)
    found.start()
    yield found
    found.stop()


def awaited(holds: Callable[[], bool]) -> None:
    """Ask until it is so."""
    until(holds)


def hits(cache: VerificationCache, ask: Callable[[], object]) -> int:
    """How many look-ups of a question memory answered."""
    before = cache.hits
    ask()
    return cache.hits - before


def test_the_second_question_about_a_token_reads_no_database_and_checks_no_signature(
    services: Services,
    cache: VerificationCache,
    organisation: UUID,
    verifier: SignedIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = create_app(replace(services, cache=cache)).test_client()
    token = a_client(client, services, organisation).token()
    checked: list[str] = []
    read = signing.Signer.read

    def noted(signer: signing.Signer, text: str) -> signing.SignedToken | None:
        checked.append(text)
        return read(signer, text)

    monkeypatch.setattr(signing.Signer, "read", noted)
    # However long a busy machine keeps the follower from its look.
    monkeypatch.setattr(verification_cache, "CONFIRMED_SECONDS_MAX", SECONDS_MAX)
    awaited(lambda: hits(cache, lambda: by_gateway(client, verifier, token)) == 1)
    misses = cache.misses
    for _ in range(10):
        assert by_gateway(client, verifier, token)["active"]
    assert (checked, cache.misses) == ([token], misses)


def test_a_token_that_another_process_revoked_is_refused_from_memory_too(
    services: Services, cache: VerificationCache, organisation: UUID, verifier: SignedIn
) -> None:
    here = create_app(replace(services, cache=cache)).test_client()
    holder = a_client(create_app(services).test_client(), services, organisation)
    token, other = holder.token(), holder.token()
    proxy = Proxy(here, verifier)
    awaited(lambda: hits(cache, lambda: proxy(token)) == 2)
    holder.post("/oauth2/revoke", {"token": token})
    awaited(lambda: proxy.ask(token).headers.get("X-Code") == "REVOKED")
    assert (proxy.code(token), proxy.code(other)) == ("REVOKED", "VALID")


def test_more_revoked_tokens_than_are_remembered_have_postgresql_asked(
    services: Services, cache: VerificationCache, organisation: UUID, verifier: SignedIn
) -> None:
    here = create_app(replace(services, cache=cache)).test_client()
    holder = a_client(here, services, organisation)
    token, other = holder.token(), holder.token()
    proxy = Proxy(here, verifier)
    awaited(lambda: hits(cache, lambda: proxy(token)) == 2)
    services.store.rows(
        "INSERT INTO revoked_token SELECT n::text, now() + interval '1 hour' FROM generate_series(1, %s) n RETURNING 1",
        (REVOKED_TOKENS_MAX,),
    )
    holder.post("/oauth2/revoke", {"token": token})
    awaited(lambda: hits(cache, lambda: proxy(other)) == 0)
    assert (proxy.code(token), proxy.code(other)) == ("REVOKED", "VALID")


def test_no_more_tokens_are_remembered_than_the_bound(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_tokens, "TOKENS_MAX", 2)
    app = create_app(services)
    tokens = app.extensions["keyledger"].tokens
    holder = a_client(app.test_client(), services, organisation)
    for _ in range(4):
        assert tokens.find(holder.token(), datetime.now(UTC)) is not None
    assert len(tokens._signed) == 2


def test_a_token_of_very_many_scopes_is_good_and_not_remembered(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(services)
    tokens = app.extensions["keyledger"].tokens
    holder = a_client(app.test_client(), services, organisation)
    long = holder.token()
    monkeypatch.setattr(access_tokens, "REMEMBERED_CHARS_MAX", len(long) - 1)
    for _ in range(2):
        assert tokens.find(long, datetime.now(UTC)) is not None
    assert not tokens._signed
