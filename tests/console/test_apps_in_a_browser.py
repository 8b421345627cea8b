"""Apps and the pages for everyone as people meet them: in Chromium, by mouse and by keyboard, wide and narrow."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from playwright.sync_api import expect

from ledger.secret_format import SECRET_PATTERN
from ledger.values import Kind, Mode
from tests import given
from tests.console.browsing import (
    LONG,
    Desk,
    assert_accessible,
    assert_nowhere,
    press_escape_again_and_again,
    under_way,
)
from tests.waiting import until_caught_up


def with_apis(desk: Desk) -> str:
    """Where the apps of the desk's organisation are, which has two APIs to connect to."""
    both = ["live", "test"]
    offered = {"order:view": both, "order:edit": both, "payout:view": both}
    taken = {"orders": ["order:view", "order:edit"], "payouts": ["payout:view"]}
    given.a_catalogue(desk.installation.services, desk.organisation, offered, taken)
    return f"{desk.url}/apps"


def an_app(desk: Desk) -> UUID:
    """An app that is connected to one of them."""
    return given.an_application(desk.installation.services, desk.organisation, "orders")


def test_s4_01_to_s4_03_new_app_next_connect_and_generate_keys(desk: Desk) -> None:
    page, _ = desk.page, with_apis(desk)
    page.goto(desk.url)
    page.get_by_role("link", name="Apps").click()
    page.get_by_role("link", name="New App").first.click()
    dialog = page.get_by_role("dialog", name="New App")
    following = dialog.get_by_role("button", name="Next")
    expect(following).to_be_disabled()
    dialog.get_by_label("Title").fill("Ledger sync")
    dialog.get_by_label("Description").fill("Books payouts.")
    dialog.get_by_label("Owner's email").fill("dev@example.com")
    following.click()

    connect = dialog.get_by_role("button", name="Connect and Generate Keys")
    expect(connect).to_be_disabled()  # no API is chosen yet
    dialog.get_by_role("checkbox", name="orders").check()
    expect(dialog.get_by_role("radio", name="Development")).to_be_checked()
    with under_way(page, "**/apps/new"):
        connect.click()
        expect(dialog.get_by_role("progressbar", name="Generating your keys")).to_be_visible()

    expect(page.get_by_role("heading", name="Successfully Generated your API Keys!", exact=True)).to_be_visible()
    expect(page.get_by_text("Copy these now.")).to_be_visible()
    shared = page.get_by_label("Shared Key", exact=True).inner_text()
    secret = page.get_by_label("Secret Key", exact=True).inner_text()
    press_escape_again_and_again(page)
    expect(page.get_by_label("Secret Key", exact=True)).to_have_text(secret)
    until_caught_up(desk.installation.services, "credential_list")
    page.get_by_role("button", name="I have stored it").click()

    row = page.get_by_role("row", name=re.compile(shared))
    expect(row).to_contain_text("Active")
    expect(row).to_contain_text(secret[-4:])
    expect(page.get_by_role("link", name="Access Keys")).to_have_attribute("aria-current", "page")
    assert_nowhere(desk, secret)


def test_s4_01_enter_goes_on_in_each_step_and_never_back(desk: Desk) -> None:
    with_apis(desk)
    page, keys = desk.page, desk.page.keyboard
    page.goto(f"{desk.url}/apps/new")
    page.get_by_label("Title").fill("Ledger sync")
    page.get_by_label("Owner's email").fill("dev@example.com")
    keys.press("Enter")
    page.get_by_role("checkbox", name="orders").check()
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Successfully Generated your API Keys!")).to_be_visible()


def test_s4_04_and_s4_05_a_card_leads_to_the_three_tabs(desk: Desk) -> None:
    page, apps = desk.page, with_apis(desk)
    app_id = an_app(desk)
    page.goto(apps)
    page.get_by_role("link", name="Ledger sync").click()
    expect(page.get_by_role("region", name="App Information")).to_contain_text(str(app_id))
    page.get_by_role("link", name="Access Keys").click()
    expect(page.get_by_role("heading", name="No access keys yet")).to_be_visible()
    page.get_by_role("link", name="Connected APIs").click()
    expect(page.get_by_role("heading", name="orders")).to_be_visible()
    expect(page.get_by_text("order:edit")).to_be_visible()


def test_s4_07_generate_key_by_keyboard_alone(desk: Desk) -> None:
    page, apps = desk.page, with_apis(desk)
    page.goto(f"{apps}/{an_app(desk)}/keys")
    page.get_by_role("link", name="Generate Key").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Generate Key")
    expect(dialog.get_by_role("radio", name="Development")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(dialog.get_by_role("radio", name="Staging")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("dev@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Successfully Generated your API Keys!")).to_be_visible()
    assert re.search(SECRET_PATTERN, page.get_by_label("Secret Key", exact=True).inner_text())


def test_s4_06_an_app_has_many_pairs_whose_secrets_are_visible_only_when_generated(desk: Desk) -> None:
    page, apps = desk.page, with_apis(desk)
    page.goto(f"{apps}/{an_app(desk)}/keys")
    pairs = []
    for environment in ("Development", "Staging"):
        page.get_by_role("link", name="Generate Key").first.click()
        dialog = page.get_by_role("dialog", name="Generate Key")
        dialog.get_by_role("radio", name=environment).check()
        dialog.get_by_label("Owner's email").fill("dev@example.com")
        dialog.get_by_role("button", name="Generate Key").click()
        shared, secret = (page.get_by_label(name, exact=True) for name in ("Shared Key", "Secret Key"))
        pairs.append((shared.inner_text(), secret.inner_text()))
        until_caught_up(desk.installation.services, "credential_list")
        page.get_by_role("button", name="I have stored it").click()
        expect(page.get_by_text("The keys were generated.")).to_be_visible()

    assert len(set(pairs)) == 2
    for shared_key, secret_key in pairs:
        expect(page.get_by_role("row", name=re.compile(re.escape(shared_key)))).to_contain_text(secret_key[-4:])
        assert_nowhere(desk, secret_key)


def test_s4_10_what_is_overdue_shows_and_production_is_not_for_who_lacks_the_grant(developer: Desk) -> None:
    page, apps = developer.page, with_apis(developer)
    app_id = an_app(developer)
    long_ago = given.context(datetime.now(UTC) - timedelta(days=91))
    old = developer.credential(kind=Kind.KEY_PAIR, application_id=app_id, mode=Mode.TEST, context=long_ago)
    live = developer.credential(kind=Kind.KEY_PAIR, application_id=app_id, mode=Mode.LIVE)

    page.goto(f"{apps}/{app_id}/keys")
    overdue, production = (
        page.get_by_role("row", name=re.compile(developer.row(one)["public_id"])) for one in (old, live)
    )
    expect(overdue).to_contain_text("Rotation overdue")
    expect(production).not_to_contain_text("Rotation overdue")
    expect(overdue.get_by_role("link", name="Revoke")).to_be_visible()
    expect(production.get_by_role("link", name="Revoke")).to_have_count(0)

    page.get_by_role("link", name="Generate Key").first.click()
    dialog = page.get_by_role("dialog", name="Generate Key")
    expect(dialog.get_by_role("radio", name="Production")).to_be_disabled()
    expect(dialog.get_by_text("Takes the grant for production")).to_be_visible()


def test_s4_08_and_s4_09_the_toggle_opens_revoking_the_key(desk: Desk) -> None:
    page, apps = desk.page, with_apis(desk)
    app_id = an_app(desk)
    row_of = desk.row(desk.credential(kind=Kind.KEY_PAIR, application_id=app_id, mode=Mode.LIVE))
    page.goto(f"{apps}/{app_id}/keys")
    row = page.get_by_role("row", name=re.compile(row_of["public_id"]))
    toggle = page.get_by_role("link", name=f"Revoke {row_of['public_id']}")

    toggle.click()
    dialog = page.get_by_role("dialog", name="Revoking the Key")
    confirm = dialog.get_by_role("button", name="Confirm")
    expect(confirm).to_be_disabled()
    expect(dialog.get_by_label("Grace period", exact=True)).to_be_hidden()
    dialog.get_by_label("Revoke after a grace period").check()
    expect(dialog.get_by_label("Grace period", exact=True)).to_be_visible()
    head = desk.head()
    dialog.get_by_label("Keep the key").check()
    confirm.click()
    expect(page.get_by_text("The key was kept")).to_be_visible()
    assert desk.head() == head

    active = row.locator(".badge").evaluate("one => getComputedStyle(one, '::before').borderRadius")
    toggle.click()
    dialog.get_by_label("Revoke now").check()
    confirm.click()
    expect(row.locator(".badge")).to_have_text("Inactive")
    inactive = row.locator(".badge").evaluate("one => getComputedStyle(one, '::before').borderRadius")
    assert active != inactive  # another word and another shape, not colour alone
    expect(toggle).to_have_count(0)


def test_the_feed_is_filtered_in_place_and_its_address_says_how(desk: Desk) -> None:
    page = desk.page
    desk.credential()
    until_caught_up(desk.installation.services)
    page.goto(f"{desk.url}/activity")
    page.get_by_label("What happened", exact=True).select_option("Credential created")
    expect(page.locator(".timeline h2")).to_have_text(["Credential created"])
    expect(page).to_have_url(re.compile(r"/activity\?topic=credential\.created$"))


def test_many_are_revoked_after_looking_at_them(desk: Desk) -> None:
    page = desk.page
    desk.credential(name="Billing")
    page.goto(f"{desk.url}/credentials")
    page.get_by_role("link", name="Revoke many").click()
    page.get_by_label("Owner's email").fill("dev@example.com")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("1 credential would be revoked")).to_be_visible()
    expect(page.get_by_role("link", name="Billing")).to_be_visible()
    page.get_by_role("button", name="Revoke 1").click()
    expect(page.get_by_role("progressbar", name="How far it has come")).to_be_visible()


def every_page(desk: Desk) -> Iterator[str]:
    """The addresses of all kinds of pages here; those that can be empty are so first."""
    services, url = desk.installation.services, desk.url
    lists = ("apps", "activity", "dashboard", "reports", "bulk-revocations", "settings/operators", "settings/webhooks")
    for one in lists:
        yield f"{url}/{one}"
    yield f"{url}/apps/new"
    apps = with_apis(desk)
    app_id = an_app(desk)
    key = desk.credential(kind=Kind.KEY_PAIR, application_id=app_id, name=LONG[:200])
    endpoint = given.a_webhook_endpoint(services, desk.organisation)
    delivery = given.a_webhook_delivery(services, desk.organisation, endpoint, key)
    run = given.a_bulk_revocation(services, desk.organisation, desk.credential())
    operator, _ = given.an_operator(services, organisation_id=desk.organisation, name=LONG[:200])
    until_caught_up(services)
    for one in lists:
        yield f"{url}/{one}"
    for tab in ("", "/keys", "/apis", "/edit", "/archive", "/apis/connect", "/keys/generate", f"/keys/{key}/revoke"):
        yield f"{apps}/{app_id}{tab}"
    yield f"{url}/activity?topic=gone"
    given.sealed(services)
    yield f"{url}/proofs/{key}/1"
    yield f"{url}/credentials/{key}/as-of"
    yield f"{url}/credentials/{key}/as-of?version=1"
    yield f"{url}/bulk-revocations/new"
    yield f"{url}/bulk-revocations/{run}"
    for what in ("roles", "rotate-token", "end-overlap", "remove"):
        yield f"{url}/settings/operators/{operator}/{what}"
    yield f"{url}/settings/operators/enrol"
    yield f"{url}/settings/webhooks/register"
    for what in ("", "/edit", "/rotate-secret", "/disable", "/enable", "/remove", f"/deliveries/{delivery}"):
        yield f"{url}/settings/webhooks/{endpoint}{what}"


@pytest.mark.timeout(900)  # each of dozens of pages takes a second, and many on a busy machine
@pytest.mark.parametrize("where", ["desk", "phone"])
def test_axe_finds_nothing_on_any_page_and_none_scrolls_sideways(where: str, request: pytest.FixtureRequest) -> None:
    someone: Desk = request.getfixturevalue(where)
    for address in every_page(someone):
        someone.page.goto(address)
        assert_accessible(someone.page)
