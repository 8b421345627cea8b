"""A browser without JavaScript on a fresh ledger: it keeps cookies, and sends the forms that it was given. And people
at Chromium, in front of a server that all tests of a module share.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser
from werkzeug.test import TestResponse

from api.app import create_app
from api.attempts import FailedAttempts
from api.console import forms
from api.wiring import Services
from ledger.values import Role
from projections.runner import Projector
from tests import given
from tests.api.conftest import organisation
from tests.console.browsing import PHONE, Desk, at_a_desk, chromium
from tests.running.doors import Installation, an_installation
from tests.waiting import SECONDS_MAX

__all__ = ["organisation"]

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Reader:
    """Somebody at a browser. Pages that are read are kept, so that their forms can be sent."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def read(self, path: str, **headers: str) -> TestResponse:
        """A page, whatever its status."""
        return self.client.get(path, headers=headers)

    def hidden(self, path: str) -> dict[str, str]:
        """What the form of a page holds that nobody types."""
        page = self.read(path)
        assert page.status_code == 200, page.text
        form = page.text[page.text.rindex('<form method="post" action="' + path) :]
        fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[: form.index("</form>")])
        return {name: unescape(value) for name, value in fields}

    def send(self, path: str, typed: object, headers: dict[str, str] = SAME_ORIGIN) -> TestResponse:
        """A form, as it is given here."""
        return self.client.post(path, data=typed, headers=headers)

    def fill_in(self, path: str, **typed: object) -> TestResponse:
        """A page's form with what somebody types into it."""
        return self.send(path, self.hidden(path) | typed)

    def sign_in(self, token: str) -> TestResponse:
        """What happens when a token is presented."""
        return self.send("/console/sign-in", {"token": token})


@pytest.fixture
def app(services: Services) -> Flask:
    """The application on a fresh ledger, as a worker builds it."""
    return create_app(replace(services, attempts=FailedAttempts(services.settings)))


@pytest.fixture
def stranger(app: Flask) -> Reader:
    """Somebody who is not signed in."""
    return Reader(app.test_client())


SignIn = Callable[..., Reader]


@pytest.fixture
def sign_in(app: Flask, services: Services) -> SignIn:
    """Enrols an operator with these roles, who signs in at a browser of their own."""

    def signed_in(*roles: Role, organisation_id: UUID | None = None, production: bool = True) -> Reader:
        _, token = given.an_operator(services, *roles, organisation_id=organisation_id, production=production)
        reader = Reader(app.test_client())
        assert reader.sign_in(token).status_code == 303
        return reader

    return signed_in


@pytest.fixture
def administrator(sign_in: SignIn) -> Reader:
    """An administrator of everything, signed in."""
    return sign_in(Role.ADMINISTRATOR)


@pytest.fixture
def projector(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Projector]:
    """Keeps the lists up with the log. A form waits for it as long as it takes: lists are read next."""
    monkeypatch.setattr(forms, "AT_LEAST_SECONDS_MAX", SECONDS_MAX)
    running = Projector(services.log)
    running.start()
    yield running
    running.stop()


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installation(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A server with its lists kept up, once for all tests here: each has an organisation of its own."""
    with an_installation(postgres, tmp_path_factory.mktemp("console")) as running:
        projector = Projector(running.services.log)
        projector.start()
        yield running
        projector.stop()


@pytest.fixture(scope="module")
def browser(installation: Installation) -> Iterator[Browser]:
    """Chromium, once for all tests here."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def desk(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An administrator at a wide screen."""
    yield from at_a_desk(browser, installation, Role.ADMINISTRATOR)


@pytest.fixture
def phone(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An administrator at a narrow one, in the dark."""
    yield from at_a_desk(browser, installation, Role.ADMINISTRATOR, viewport=PHONE, color_scheme="dark")


@pytest.fixture
def dark(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An administrator at a wide screen in the dark."""
    yield from at_a_desk(browser, installation, Role.ADMINISTRATOR, color_scheme="dark")


@pytest.fixture
def developer(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An operator at a wide screen, without the grant for production."""
    yield from at_a_desk(browser, installation, Role.OPERATOR, production=False)


@pytest.fixture
def auditor(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An auditor at a wide screen."""
    yield from at_a_desk(browser, installation, Role.AUDITOR)


@pytest.fixture
def overseer(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An administrator of all organisations at a wide screen."""
    yield from at_a_desk(browser, installation, Role.ADMINISTRATOR, of_all=True)
