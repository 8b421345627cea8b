"""OAuth 2 clients that others wrote, against the service over a real socket."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OKPKey
from oauthlib.oauth2 import BackendApplicationClient, InvalidScopeError
from requests_oauthlib import OAuth2Session
from werkzeug.serving import make_server

from api.app import create_app
from api.client_keys import register_key
from api.signing import Algorithms
from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.values import Kind, Role
from tests import given
from tests.programs import program

ROOT = Path(__file__).parents[2]
OPENID_CLIENT = ROOT / "requirements/node_modules/openid-client/build/index.js"
GRANT = "client_credentials"


@dataclass(frozen=True)
class Running:
    """The service, with a client of an organisation."""

    services: Services
    issuer: str
    organisation: UUID
    credential_id: UUID
    client_id: str
    secret: str

    def claims(self, token: str) -> dict[str, Any]:
        """What a token says, checked with the published keys."""
        keys = KeySet.import_key_set(requests.get(f"{self.issuer}/.well-known/jwks.json", timeout=10).json())
        claims: dict[str, Any] = jwt.decode(token, keys, registry=Algorithms(algorithms=["EdDSA", "ES256"])).claims
        return claims

    def with_key(self, key: Key) -> "Running":
        """The same with another client, which registered this key in place of a secret."""
        public = register_key(key.as_dict(private=False))
        receipt, _ = given.a_credential(self.services, self.organisation, kind=Kind.OAUTH_CLIENT, secret=public)
        return replace(self, credential_id=receipt.id, client_id=receipt.state.public_id, secret="")

    def revoke_credential(self) -> None:
        """Its operator revokes it."""
        command = RevokeCredential(context=given.context(), credential_id=self.credential_id)
        self.services.ledger.handle(command)


@pytest.fixture
def running(services: Services) -> Iterator[Running]:
    """The service on a port of its own."""
    server = make_server("127.0.0.1", 0, lambda _environ, _start: [], threaded=True)
    issuer = f"http://127.0.0.1:{server.server_port}"
    server.app = create_app(replace(services, settings=replace(services.settings, issuer=issuer)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    organisation = given.an_organisation(services)
    receipt, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)
    yield Running(services, issuer, organisation, receipt.id, receipt.state.public_id, secret)
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_commands_of_the_document_do_what_it_says(running: Running) -> None:
    document = (ROOT / "docs/oauth.md").read_text()
    issue, introspect = re.findall(r"^(curl .*/oauth2/(?:token|introspect) .*)$", document, re.MULTILINE)
    environment = {
        **os.environ,
        "URL": running.issuer,
        "PUBLIC_ID": running.client_id,
        "SECRET": running.secret,
        "GATEWAY": given.an_operator(running.services, Role.VERIFIER)[1],
    }

    def say(command: str) -> Any:
        bash = [program("bash"), "-c", command]
        return json.loads(subprocess.run(bash, env=environment, capture_output=True, check=True, timeout=30).stdout)

    environment["TOKEN"] = say(issue)["access_token"]
    assert say(introspect)["client_id"] == running.client_id
    running.revoke_credential()
    assert say(introspect) == {"active": False}


def test_requests_oauthlib(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # TLS ends in front of the service, which is not here
    session = OAuth2Session(client=BackendApplicationClient(client_id=running.client_id))
    about: dict[str, Any] = {"token_url": f"{running.issuer}/oauth2/token", "client_secret": running.secret}
    token = session.fetch_token(**about)
    assert running.claims(token["access_token"])["client_id"] == running.client_id
    scope = token["scope"][0]
    narrowed = session.fetch_token(**about, include_client_id=True, scope=[scope])
    assert running.claims(narrowed["access_token"])["scope"] == scope
    with pytest.raises(InvalidScopeError):
        session.fetch_token(**about, scope=["no:such"])


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib(running: Running, method: str) -> None:
    session = AuthlibSession(
        running.client_id,
        running.secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
    )
    token = session.fetch_token(f"{running.issuer}/oauth2/token", grant_type=GRANT)
    assert running.claims(token["access_token"])["sub"] == running.client_id
    introspect = f"{running.issuer}/oauth2/introspect"
    assert session.introspect_token(introspect, token=token["access_token"]).json()["active"]
    other = session.fetch_token(f"{running.issuer}/oauth2/token", grant_type=GRANT)
    session.revoke_token(f"{running.issuer}/oauth2/revoke", token=other["access_token"])
    assert not session.introspect_token(introspect, token=other["access_token"]).json()["active"]
    running.revoke_credential()
    assert session.introspect_token(introspect, token=token["access_token"]).json()["error"] == "invalid_client"


@pytest.mark.parametrize("named", [True, False], ids=["for the token endpoint", "for whichever is asked"])
def test_authlib_with_a_key(running: Running, named: bool) -> None:
    key = ECKey.generate_key("P-256")
    keyed = running.with_key(key)
    endpoint = f"{running.issuer}/oauth2/token"
    method = PrivateKeyJWT(endpoint if named else None, alg="ES256")
    session = AuthlibSession(
        keyed.client_id, key, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method.name
    )
    session.register_client_auth_method(method)
    token = session.fetch_token(endpoint, grant_type=GRANT)["access_token"]
    assert running.claims(token)["sub"] == keyed.client_id
    introspect = f"{running.issuer}/oauth2/introspect"
    assert session.introspect_token(introspect, token=token).json()["active"]
    assert session.revoke_token(f"{running.issuer}/oauth2/revoke", token=token).status_code == 200
    assert not session.introspect_token(introspect, token=token).json()["active"]


def openid_client(running: Running, *more: str) -> dict[str, Any]:
    """What npm's openid-client learned."""
    if not OPENID_CLIENT.is_file():
        program("openid-client")  # skips, or in CI fails
    arguments = [OPENID_CLIENT.as_uri(), running.issuer, running.client_id, running.secret, *more]
    ran = subprocess.run(
        [program("node"), str(Path(__file__).with_name("openid_client.mjs")), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    learned: dict[str, Any] = json.loads(ran.stdout)
    return learned


def test_openid_client(running: Running) -> None:
    learned = openid_client(running)
    assert running.claims(learned["token"]["access_token"])["iss"] == running.issuer
    assert learned["before"]["active"]
    assert learned["before"]["client_id"] == running.client_id
    assert learned["after"] == {"active": False}


@pytest.mark.parametrize("key", [OKPKey.generate_key("Ed25519"), ECKey.generate_key("P-256")], ids=["Ed25519", "P-256"])
def test_openid_client_with_a_key(running: Running, key: Key) -> None:
    learned = openid_client(running.with_key(key), json.dumps(key.as_dict(private=True)))
    assert learned["before"]["active"]
    assert learned["after"] == {"active": False}
