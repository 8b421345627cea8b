"""A client of the API on a fresh ledger, signed in as whoever a test needs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from api.app import create_app
from api.wiring import Services
from ledger.values import Role
from projections.runner import Projector
from tests import given


@pytest.fixture
def app(services: Services) -> Flask:
    """The application on a fresh ledger."""
    return create_app(services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that is not signed in."""
    return app.test_client()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; `json` is its body, None where it has no JSON."""

    status_code: int
    headers: Headers
    data: bytes
    json: Any

    @property
    def text(self) -> str:
        """The body as a text."""
        return self.data.decode()


class SignedIn:
    """A client whose requests carry an operator's token and JSON bodies."""

    def __init__(self, client: FlaskClient, token: str, operator_id: UUID) -> None:
        self.client = client
        self.token = token
        self.operator_id = operator_id

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        """The response to one request."""
        given_headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        response = self.client.open(path, method=method, json=body, headers=given_headers, **more)
        return Answer(response.status_code, response.headers, response.data, response.get_json(silent=True))


SignIn = Callable[..., SignedIn]


@pytest.fixture
def sign_in(services: Services, client: FlaskClient) -> SignIn:
    """Enrols an operator with these roles and signs in as it."""

    def signed_in(*roles: Role, organisation_id: UUID | None = None, production: bool = True) -> SignedIn:
        operator_id, token = given.an_operator(services, *roles, organisation_id=organisation_id, production=production)
        return SignedIn(client, token, operator_id)

    return signed_in


@pytest.fixture
def administrator(sign_in: SignIn) -> SignedIn:
    """An administrator of everything."""
    return sign_in(Role.ADMINISTRATOR)


@pytest.fixture
def verifier(sign_in: SignIn) -> SignedIn:
    """A gateway for every organisation."""
    return sign_in(Role.VERIFIER)


@pytest.fixture
def organisation(services: Services) -> UUID:
    """A registered organisation."""
    return given.an_organisation(services)


@pytest.fixture
def projector(services: Services) -> Iterator[Projector]:
    """Keeps the lists up with the log, as `keyledger serve` does."""
    running = Projector(services.log)
    running.start()
    yield running
    running.stop()
