"""Pages where the reader chooses how they look: colours of their own, on paper, on a phone; and their titles."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, expect

from ledger.commands import RevokeCredential
from ledger.values import AccountKind, Kind, Name, RevocationReason, Role
from tests import given
from tests.console.browsing import Desk, at_a_desk
from tests.running.doors import Installation
from tests.waiting import until_caught_up


@pytest.fixture
def own_colours(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An administrator whose system decides about colours."""
    yield from at_a_desk(browser, installation, Role.ADMINISTRATOR, forced_colors="active")


def drawn(page: Page, selector: str, *properties: str, part: str | None = None) -> tuple[str, ...]:
    """How the first of these, or a part of it that the style sheet makes, is drawn."""
    style = page.locator(selector).first.evaluate(
        "(element, [part, names]) => names.map((name) => getComputedStyle(element, part)[name])", [part, properties]
    )
    return tuple(style)


def an_app_with_keys(desk: Desk) -> str:
    """Where the keys of an app are of which one is good and one is revoked."""
    services = desk.installation.services
    app = given.an_application(services, desk.organisation)
    given.a_credential(services, desk.organisation, kind=Kind.KEY_PAIR, application_id=app)
    gone = given.a_credential(services, desk.organisation, kind=Kind.KEY_PAIR, application_id=app)[0].id
    services.ledger.handle(
        RevokeCredential(context=given.context(), credential_id=gone, revocation_reason=RevocationReason.COMPROMISED)
    )
    until_caught_up(services)
    return f"{desk.url}/apps/{app}/keys"


def test_what_a_colour_says_is_still_told_where_the_system_decides_about_colours(own_colours: Desk) -> None:
    page = own_colours.page
    page.goto(an_app_with_keys(own_colours))

    current, other = "nav[aria-label=Main] a[aria-current]", "nav[aria-label=Main] a:not([aria-current])"
    assert drawn(page, current, "backgroundColor") != drawn(page, other, "backgroundColor")
    tab, another = ".tabs a[aria-current]", ".tabs a:not([aria-current])"
    assert drawn(page, tab, "borderBottomColor") != drawn(page, another, "borderBottomColor")
    on, off = ".toggle.on", ".toggle.off"
    knob, rail = drawn(page, on, "backgroundColor", part="::after"), drawn(page, on, "backgroundColor")
    assert knob != rail
    assert drawn(page, off, "backgroundColor", part="::after") != drawn(page, off, "backgroundColor")
    mark, ground = drawn(page, ".badge-active", "backgroundColor", part="::before"), drawn(page, "main", "color")
    assert mark == ground


def test_a_page_on_paper_has_what_it_tells_and_nothing_to_press(desk: Desk) -> None:
    credential = desk.credential(name="Billing export")
    desk.page.goto(f"{desk.url}/credentials/{credential}")
    desk.page.emulate_media(media="print")

    expect(desk.page.get_by_role("heading", name="Billing export")).to_be_visible()
    expect(desk.page.get_by_role("heading", name="History")).to_be_visible()
    expect(desk.page.locator("header.side")).to_be_hidden()
    for button in desk.page.locator(".button").all():
        expect(button).to_be_hidden()


def test_no_label_of_a_chart_runs_into_the_next_on_a_phone(phone: Desk) -> None:
    phone.credential()
    phone.page.goto(f"{phone.url}/dashboard")

    for chart in phone.page.locator("svg.chart").all():
        boxes = [box for text in chart.locator("text").all() if text.is_visible() and (box := text.bounding_box())]
        assert boxes
        rows = [(box["y"], box["x"], box["width"], box["height"]) for box in boxes]
        for (y, x, width, height), (next_y, next_x, _, _) in pairwise(rows):
            assert next_x >= x + width or next_y >= y + height
        assert min(height for _, _, _, height in rows) >= 10  # pixels: small, and to be read


def test_pages_that_are_open_side_by_side_are_told_apart_by_their_titles(desk: Desk) -> None:
    services = desk.installation.services
    app = given.an_application(services, desk.organisation)
    account = given.an_account(services, desk.organisation, name=Name("Acme"))
    merchant = given.an_account(services, desk.organisation, kind=AccountKind.MERCHANT, name=Name("Corner shop"))
    for path, title in (
        ("", "Overview"),
        (f"/apps/{app}", "App Information · Ledger sync"),
        (f"/apps/{app}/keys", "Access Keys · Ledger sync"),
        (f"/apps/{app}/apis", "Connected APIs · Ledger sync"),
        (f"/accounts/{account}/api-keys", "API Keys · Acme"),
        (f"/merchants/{merchant}/developers", "Developers · Corner shop"),
        ("/exports", "Exports · Audit"),
        ("/access-reviews", "Access reviews · Audit"),
    ):
        desk.page.goto(f"{desk.url}{path}")
        expect(desk.page).to_have_title(f"{title} · Lanternfield · Keyledger")
