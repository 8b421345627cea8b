"""The navigation, and finding anything, on a laptop and on a phone."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, expect

from ledger.values import Role
from tests import given
from tests.console.browsing import PHONE, Desk, assert_accessible, at_a_desk
from tests.running.doors import Installation
from tests.waiting import until_caught_up

PLACES = [
    "Overview",
    "Apps",
    "Credentials",
    "Merchants",
    "Accounts",
    "Activity",
    "Dashboard",
    "Reports",
    "Audit",
    "Settings",
]


@pytest.fixture
def tablet(browser: Browser, installation: Installation) -> Iterator[Desk]:
    """An administrator at a screen between the two."""
    yield from at_a_desk(browser, installation, Role.ADMINISTRATOR, viewport={"width": 768, "height": 1024})


@pytest.mark.parametrize("where", ["phone", "tablet"])
def test_on_a_narrow_screen_a_menu_leads_everywhere(where: str, request: pytest.FixtureRequest) -> None:
    narrow: Desk = request.getfixturevalue(where)
    page, keys = narrow.page, narrow.page.keyboard
    page.goto(narrow.url)
    links = page.get_by_role("navigation", name="Main").get_by_role("link")
    expect(links).to_have_count(0)

    page.get_by_role("button", name="Menu").focus()
    keys.press("Enter")
    expect(links).to_have_text(PLACES)
    for link in links.all():
        link.scroll_into_view_if_needed()
        expect(link).to_be_in_viewport(ratio=1)
    expect(links.first).to_have_attribute("aria-current", "page")
    assert_accessible(page)
    keys.press("Escape")
    expect(links).to_have_count(0)
    expect(page.get_by_role("button", name="Menu")).to_be_focused()

    keys.press("Enter")
    keys.press("Tab")
    expect(page.get_by_label("Find anything")).to_be_focused()
    links.last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Organisation settings")
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()


def test_the_menu_opens_without_javascript(browser: Browser, installation: Installation) -> None:
    for desk in at_a_desk(browser, installation, Role.ADMINISTRATOR, viewport=PHONE, java_script_enabled=False):
        desk.page.goto(desk.url)
        desk.page.get_by_role("button", name="Menu").click()
        desk.page.get_by_role("link", name="Settings").click()
        expect(desk.page.get_by_role("heading", level=1)).to_have_text("Organisation settings")


def test_on_a_wide_screen_everything_is_in_sight(desk: Desk) -> None:
    desk.page.goto(desk.url)
    expect(desk.page.get_by_role("navigation", name="Main").get_by_role("link")).to_have_text(PLACES)
    expect(desk.page.get_by_role("button", name="Menu")).to_be_hidden()


def test_what_is_typed_into_the_box_is_found_while_typing(desk: Desk) -> None:
    page, credential_id = desk.page, desk.credential(name="Night files")
    page.goto(desk.url)
    page.get_by_label("Find anything").fill("nigh")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Credentials").get_by_role("link")).to_have_text("Night files")
    expect(page).to_have_url(re.compile(r"/search\?q=nigh$"))
    expect(page.get_by_label("Find anything")).to_have_value("nigh")
    page.get_by_label("Find anything").fill("nobody")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/search\?q=nobody$"))
    page.go_back()
    page.get_by_role("link", name="Night files").click()
    expect(page).to_have_url(re.compile(f"/credentials/{credential_id}$"))


def test_the_list_goes_back_to_a_date_and_forth_again(desk: Desk) -> None:
    page = desk.page
    desk.credential(name="Night files")
    page.goto(f"{desk.url}/credentials")
    page.get_by_role("textbox", name="As of", exact=True).fill("2026-01-31T13:00")
    page.get_by_role("textbox", name="As of", exact=True).press("Enter")
    expect(page.get_by_text("As they were on 31 Jan 2026, 13:00")).to_be_visible()
    expect(page.get_by_role("link", name="Night files")).to_have_count(0)
    page.get_by_role("link", name="Show them as they are").click()
    expect(page.get_by_role("link", name="Night files")).to_be_visible()


def test_a_moment_is_typed_in_the_readers_zone_sent_in_utc_and_comes_back_in_the_readers_zone(desk: Desk) -> None:
    page, made = desk.page, datetime(2026, 7, 1, 10, 30, tzinfo=UTC)
    credential_id = desk.credential(name="Night files", context=given.context(made))
    summer, winter = "2026-07-01T13:00:00", "2026-01-31T13:00:00"

    for path, field in (
        ("credentials", page.get_by_role("textbox", name="As of", exact=True)),
        (f"credentials/{credential_id}/as-of", page.get_by_role("textbox", name="Date and time", exact=True)),
    ):
        page.goto(f"{desk.url}/{path}")
        for local, utc in ((summer, "2026-07-01T11"), (winter, "2026-01-31T12")):
            field.fill(local)
            field.press("Enter")
            expect(page).to_have_url(re.compile(f"as_of={utc}(:|%3A)00"))
            page.reload()
            assert field.evaluate("field => new Date(field.value).toISOString()").startswith(f"{utc}:00:00")
            assert field.input_value() == local.removesuffix(":00")


def test_a_review_is_asked_for_as_of_a_moment_in_the_readers_zone(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{desk.url}/access-reviews/ask")
    page.get_by_role("textbox", name="As of", exact=True).fill("2999-07-01T13:00")
    page.get_by_label("Why").fill("first quarter")
    page.get_by_role("button", name="Review").click()
    expect(page.locator("#as_of-error")).to_be_visible()
    expect(page.get_by_role("textbox", name="As of", exact=True)).to_have_value("2999-07-01T13:00")

    page.get_by_role("textbox", name="As of", exact=True).fill("2026-07-01T13:00")
    page.get_by_role("button", name="Review").click()

    expect(page.get_by_role("heading", name="As of 1 Jul 2026, 13:00")).to_be_visible()
    expect(page.get_by_role("heading", name="As of 1 Jul").get_by_role("time")).to_have_attribute(
        "title", "2026-07-01 11:00:00 UTC"
    )


@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 860}])
def test_pages_of_all_organisations_are_accessible(
    browser: Browser, installation: Installation, viewport: dict[str, int]
) -> None:
    for desk in at_a_desk(browser, installation, Role.ADMINISTRATOR, of_all=True, viewport=viewport):
        desk.credential(name="Night files")
        until_caught_up(installation.services)
        for path in ("organisations", "organisations?q=x", "operators", "operators?q=x", "operators/enrol", "search"):
            desk.page.goto(f"{installation.url}/console/{path}")
            assert_accessible(desk.page)
        for path in ("search?q=night", "search?q=---", "credentials?as_of=2026-01-31T12:00", "settings/operators"):
            desk.page.goto(f"{desk.url}/{path}")
            assert_accessible(desk.page)
