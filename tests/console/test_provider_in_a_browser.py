"""Signing in at npm's oidc-provider and out again, in a real browser."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect
from werkzeug.serving import make_server

from api.app import create_app
from api.wiring import Services
from ledger.role_grants import RoleGrants
from ledger.values import Identity, Subject
from projections.operator_status import list_identified
from tests.console.browsing import READER, WAIT_MS_MAX, WIDE, chromium
from tests.ports import free_port
from tests.programs import program
from tests.running.doors import running

LIBRARY = Path(__file__).parents[2] / "requirements/node_modules/oidc-provider/lib/index.js"
CLIENT_ID, CLIENT_SECRET = "keyledger-console", "s:e/c r+e%t of forty characters and more"
PEOPLE = {"ada": ["staff", "admins"], "eve": ["staff"]}


@dataclass(frozen=True)
class Console:
    """The console at its address, and its provider's."""

    services: Services
    url: str
    provider: str


@pytest.fixture
def console(services: Services, tmp_path: Path) -> Iterator[Console]:
    """The console with its provider beside it."""
    if not LIBRARY.is_file():
        program("oidc-provider")  # skips, or in CI fails
    server = make_server("127.0.0.1", 0, lambda _environ, _start: [], threaded=True)
    url, port = f"http://127.0.0.1:{server.server_port}", free_port()
    issuer = f"http://127.0.0.1:{port}"
    settings = replace(
        services.settings,
        issuer=url,
        oidc_issuer=issuer,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        oidc_scopes="openid profile groups",
        oidc_roles=RoleGrants.parse("admins=administrator"),
    )
    server.app = create_app(replace(services, settings=settings))
    client = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [f"{url}/console/sign-in/provider/answer"],
        "post_logout_redirect_uris": [f"{url}/console/sign-in"],
    }
    script = Path(__file__).with_name("oidc_provider.mjs")
    command = [program("node"), str(script), LIBRARY.as_uri(), issuer, json.dumps(client), json.dumps(PEOPLE)]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with running(command, port, output=tmp_path / "provider.log"):
            yield Console(services, url, issuer)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def page(console: Console) -> Iterator[Page]:
    """A page of a browser that reaches this machine and nothing else: the provider's pages ask for a font elsewhere."""

    def only_here(route: Route) -> None:
        here = route.request.url.startswith((console.url, console.provider))
        route.continue_() if here else route.abort()

    with chromium() as browser:
        options: dict[str, Any] = {"viewport": WIDE, **READER}
        context = browser.new_context(**options)
        context.route("**/*", only_here)
        opened = context.new_page()
        opened.set_default_timeout(WAIT_MS_MAX)
        yield opened
        context.close()


def sign_in_there(page: Page, console: Console, name: str) -> None:
    """What somebody does who has no token."""
    page.goto(f"{console.url}/console/")
    assert Axe().run(page).response["violations"] == []
    page.get_by_role("link", name="Sign in at").click()
    page.locator("[name=login]").fill(name)
    page.locator("[name=password]").fill("any")
    page.locator("[type=submit]").click()
    page.get_by_role("button", name="Continue").click()


def test_somebody_signs_in_there_and_out_again(page: Page, console: Console) -> None:
    sign_in_there(page, console, "ada")

    expect(page.get_by_text("ada of the provider")).to_be_visible()
    expect(page.get_by_text("Administrator", exact=True)).to_be_visible()
    [row] = list_identified(console.services.store, Identity(console.provider, Subject("ada")))
    assert (row["roles"], row["organisation_id"]) == (["administrator"], None)

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="sign out there too").click()
    page.locator("button[value=yes]").click()
    expect(page).to_have_url(f"{console.url}/console/sign-in")

    # The provider forgot them as well: it asks again who they are.
    page.get_by_role("link", name="Sign in at").click()
    expect(page.locator("[name=login]")).to_be_visible()


def test_whom_the_provider_gives_no_role_is_told_so(page: Page, console: Console) -> None:
    head = console.services.log.head()

    sign_in_there(page, console, "eve")

    expect(page.get_by_role("heading", name="You have no role here")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    assert console.services.log.head() == head
