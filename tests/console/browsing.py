"""Real Chromium in front of a real server, for tests and for the screenshots of the documentation."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from ledger.secret_format import SECRET_PATTERN
from ledger.values import Kind, Role
from projections.credential_status import find_credential
from tests import given
from tests.programs import program
from tests.running.doors import Installation
from tests.waiting import until, until_caught_up

WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 320, "height": 700}
# A zone and a language of their own, so that what a reader sees does not depend on the machine.
READER = {"timezone_id": "Europe/Berlin", "locale": "en-GB"}

# What is waited for takes a tenth of a second; the rest is for a busy machine.
WAIT_MS_MAX = 30_000
expect.set_options(timeout=WAIT_MS_MAX)

# A name with nowhere to break, to see what gives way.
LONG = "Reconciliation" * 14


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium. As root it has no sandbox to offer."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=arguments)
        yield browser
        browser.close()


def sign_in(page: Page, url: str, token: str) -> None:
    """Present an operator's token."""
    page.goto(f"{url}/console/sign-in")
    page.get_by_label("Operator token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#menu").wait_for(state="attached")  # on a narrow screen it is closed


@dataclass(frozen=True)
class Desk:
    """Somebody who is signed in at a browser, and the organisation they look at."""

    page: Page
    installation: Installation
    organisation: UUID

    @property
    def url(self) -> str:
        """Where the organisation's pages are."""
        return f"{self.installation.url}/console/organisations/{self.organisation}"

    @property
    def partner_api(self) -> str:
        """Where the Partner API page is."""
        return f"{self.url}/settings/partner-api"

    def credential(self, **changes: Any) -> UUID:
        """A credential of the organisation that the list knows of, an OAuth client unless it is changed."""
        receipt, _ = given.a_credential(
            self.installation.services, self.organisation, **{"kind": Kind.OAUTH_CLIENT, **changes}
        )
        until_caught_up(self.installation.services, "credential_list")
        return receipt.id

    def row(self, credential_id: UUID) -> dict[str, Any]:
        """The credential as it stands."""
        row = find_credential(self.installation.services.store, self.organisation, credential_id)
        assert row is not None
        return row

    def head(self) -> int:
        """How much was recorded by now."""
        return self.installation.services.log.head()

    def open_dialog(self) -> Any:
        """The dialog "Create credentials", from its page."""
        self.page.goto(self.partner_api)
        self.page.get_by_role("link", name="Create credentials").first.click()
        dialog = self.page.get_by_role("dialog", name="Create credentials")
        expect(dialog).to_be_visible()
        return dialog

    def create(self) -> tuple[str, str]:
        """Create credentials with full access: the client's id and secret, as they are shown."""
        dialog = self.open_dialog()
        dialog.get_by_label("Email").fill("dev@example.com")
        dialog.get_by_label("Full").check()
        dialog.get_by_role("button", name="Create credentials").click()
        shown = self.page.get_by_role("dialog", name="Credentials created")
        expect(shown).to_be_visible()
        return shown.get_by_label("Client ID", exact=True).inner_text(), shown.get_by_label(
            "Client secret", exact=True
        ).inner_text()


def at_a_desk(
    browser: Browser,
    installation: Installation,
    *roles: Role,
    of_all: bool = False,
    production: bool = True,
    **options: Any,
) -> Iterator[Desk]:
    """Somebody with these roles in an organisation of their own, or in all of them. What the browser complains of fails
    the test.
    """
    organisation = given.an_organisation(installation.services, "Lanternfield")
    of = None if of_all else organisation
    _, token = given.an_operator(installation.services, *roles, organisation_id=of, production=production)
    context = browser.new_context(**{"viewport": WIDE, **READER, **options})
    page, complaints = context.new_page(), []
    page.set_default_timeout(WAIT_MS_MAX)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    page.on("request", lambda asked: complaints.append(asked.url) if installation.url not in asked.url else None)
    sign_in(page, installation.url, token)
    yield Desk(page, installation, organisation)
    context.close()
    assert complaints == []


def copy(dialog: Locator, name: str) -> str:
    """Press the button that copies a value, which says that it has, if only for two seconds: what is there to paste."""
    page, button = dialog.page, dialog.get_by_role("button", name=f"Copy {name}")
    button.evaluate(
        "button => { window.said = ''; new MutationObserver(() => { window.said ||= button.innerText; })"
        ".observe(button, {subtree: true, childList: true}); }"
    )
    button.click()
    assert "Copied" in until(lambda: str(page.evaluate("window.said")))  # the page lets nobody wait in it for a text
    pasted: str = page.evaluate("navigator.clipboard.readText()")
    return pasted


def press_escape_again_and_again(page: Page) -> None:
    """More often than Chromium lets a page refuse it without the reader doing something else in between."""
    for _ in range(4):
        page.keyboard.press("Escape")
        page.wait_for_timeout(100)


@contextmanager
def under_way(page: Page, path: str | re.Pattern[str]) -> Iterator[None]:
    """The next form that is sent to this path comes to the server when the block is over."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST" and not held:
            held.append(route)
        else:
            route.continue_()

    page.route(path, hold)
    yield
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    page.unroute(path, hold)


def assert_nowhere(desk: Desk, secret: str) -> None:
    """The page as it is holds no secret, and neither does what the browser stored."""
    assert secret not in desk.page.content()
    kept = desk.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert not re.search(SECRET_PATTERN, kept)


def verifier_of(desk: Desk) -> str:
    """The token of a gateway of the desk's organisation."""
    services = desk.installation.services
    return given.an_operator(services, Role.VERIFIER, organisation_id=desk.organisation)[1]


def assert_accessible(page: Page) -> None:
    """axe finds nothing, and nothing is cut off or scrolls sideways."""
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == [], page.url
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1], page.url
