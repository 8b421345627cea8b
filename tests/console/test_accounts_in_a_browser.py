"""Merchants, accounts and channels as people meet them: S2 and S3 by their numbers, by mouse and by keyboard."""

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from ledger.values import AccountKind, Channel, Kind, Login, Name, Reference
from projections.account_status import find_account
from tests import given
from tests.console.browsing import (
    LONG,
    Desk,
    assert_accessible,
    assert_nowhere,
    copy,
    press_escape_again_and_again,
    verifier_of,
)
from tests.waiting import until_caught_up

PASSWORD = "eleven purple walruses sing"
MERCHANT_ENTITIES = ("Customer", "Currency account", "Merchant account")
PAYMENT_ENTITIES = tuple(
    f"Payment {what}" for what in ("route", "statement", "transaction", "commit", "request", "command", "scheme")
)


def an_account(desk: Desk, kind: AccountKind = AccountKind.MASTER, **changes: Any) -> UUID:
    """An open account of the desk's organisation."""
    return given.an_account(desk.installation.services, desk.organisation, kind=kind, **changes)


def open_add_key(desk: Desk) -> Any:
    """The dialog "Add API key" of a new merchant."""
    desk.page.goto(f"{desk.url}/merchants/{an_account(desk, AccountKind.MERCHANT)}/developers")
    desk.page.get_by_role("link", name="Add API key").first.click()
    dialog = desk.page.get_by_role("dialog", name="Add API key")
    expect(dialog).to_be_visible()
    return dialog


def open_create(desk: Desk, account_id: UUID) -> Any:
    """The dialog "Create API Key" of an account."""
    desk.page.goto(f"{desk.url}/accounts/{account_id}/api-keys")
    desk.page.get_by_role("link", name="Create API Key").first.click()
    dialog = desk.page.get_by_role("dialog", name="Create API Key")
    expect(dialog).to_be_visible()
    return dialog


def verdict(desk: Desk, secret: str, **more: object) -> str:
    """What a gateway is told of a secret."""
    asked = urllib.request.Request(
        f"{desk.installation.url}/v1/verify",
        json.dumps({"secret": secret, **more}).encode(),
        {"Authorization": f"Bearer {verifier_of(desk)}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        code: str = json.load(answer)["code"]
        return code


def group(dialog: Any, title: str) -> Any:
    """A group of permissions."""
    return dialog.locator("[data-group]", has_text=title).first


def expect_called(dialog: Any, merchant: str, payments: str) -> None:
    """What the two groups of permissions are called."""
    expect(group(dialog, "Merchant").locator("output")).to_have_text(merchant)
    expect(group(dialog, "Payments").locator("output")).to_have_text(payments)


# --- S2: a merchant's API key -----------------------------------------------------------------------------------------


def test_s2_01_from_merchants_to_one_merchants_developers_and_add_api_key(desk: Desk) -> None:
    page = desk.page
    page.get_by_role("link", name="Merchants").click()
    page.get_by_role("link", name="Add merchant account").first.click()
    page.get_by_label("Name").fill("Corner Shop")
    page.get_by_role("button", name="Open account").click()
    expect(page.get_by_text("The account was opened.")).to_be_visible()
    page.get_by_role("link", name="Merchants").first.click()
    page.get_by_role("link", name="Corner Shop").click()
    expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Merchants")).to_have_attribute(
        "aria-current", "page"
    )
    page.get_by_role("link", name="Developers").click()
    expect(page.get_by_role("heading", name="No API keys yet")).to_be_visible()
    page.get_by_role("link", name="Add API key").first.click()
    expect(page.get_by_role("dialog", name="Add API key")).to_be_visible()


def test_s2_02_and_s2_03_the_type_is_required_and_name_and_description_are_not(desk: Desk) -> None:
    dialog = open_add_key(desk)
    create = dialog.get_by_role("button", name="Create API key")
    dialog.get_by_role("radio", name="Read-only").check()
    expect(create).to_be_disabled()
    dialog.get_by_role("radio", name="Test").check()
    expect(create).to_be_enabled()
    create.click()
    key = desk.page.get_by_label("API key", exact=True).inner_text()
    assert verdict(desk, key, mode="test") == "VALID"
    assert verdict(desk, key, mode="live") == "WRONG_MODE"


@pytest.mark.parametrize(
    ("preset", "view", "edit"), [("Read-only", True, False), ("Write", False, True), ("Full access", True, True)]
)
def test_s2_04_to_s2_07_a_preset_sets_every_group_at_once(desk: Desk, preset: str, view: bool, edit: bool) -> None:
    dialog = open_add_key(desk)
    expect_called(dialog, "None", "None")
    dialog.get_by_role("radio", name=preset).check()

    for title, entities in (("Merchant", MERCHANT_ENTITIES), ("Payments", PAYMENT_ENTITIES)):
        expect(group(dialog, title).get_by_role("checkbox")).to_have_count(2 * len(entities))
        for entity in entities:
            for action, on in (("View", view), ("Edit", edit)):
                box = group(dialog, title).get_by_role("checkbox", name=f"{action} {entity.lower()}", exact=True)
                expect(box).to_be_checked(checked=on)
    expect_called(dialog, preset, preset)


def test_s2_08_switching_one_permission_marks_its_group_custom_by_itself_and_back(desk: Desk) -> None:
    dialog = open_add_key(desk)
    dialog.get_by_role("radio", name="Read-only").check()
    edit = dialog.get_by_label("Edit customer", exact=True)

    edit.check()
    expect_called(dialog, "Custom", "Read-only")
    expect(dialog.get_by_role("radio", name="Custom")).to_be_checked()
    edit.uncheck()
    expect_called(dialog, "Read-only", "Read-only")
    expect(dialog.get_by_role("radio", name="Read-only")).to_be_checked()
    for entity in MERCHANT_ENTITIES:
        dialog.get_by_label(f"Edit {entity.lower()}", exact=True).check()
    expect_called(dialog, "Full access", "Read-only")
    expect(dialog.get_by_role("radio", name="Custom")).to_be_checked()
    dialog.get_by_role("radio", name="Full access").check()
    expect_called(dialog, "Full access", "Full access")


def test_s2_08_what_is_granted_is_what_was_switched_on(desk: Desk) -> None:
    dialog = open_add_key(desk)
    dialog.get_by_role("radio", name="Live").check()
    dialog.get_by_role("radio", name="Write").check()
    for entity in PAYMENT_ENTITIES:
        dialog.get_by_label(f"Edit {entity.lower()}", exact=True).uncheck()
    expect_called(dialog, "Write", "None")
    dialog.get_by_role("button", name="Create API key").click()
    desk.page.get_by_role("button", name="I have stored it").click()
    expect(desk.page.get_by_role("region", name="Permissions").get_by_role("listitem")).to_have_text(
        ["currency_account:edit", "customer:edit", "merchant_account:edit"]
    )


def test_s2_09_and_s2_10_the_warning_stands_and_the_key_is_shown_once_to_copy(desk: Desk) -> None:
    desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    dialog = open_add_key(desk)
    expect(dialog.locator(".notice-warning")).to_contain_text("Permissions can be set only now.")
    dialog.get_by_role("radio", name="Live").check()
    dialog.get_by_role("radio", name="Full access").check()
    dialog.get_by_label("Name").fill("Web shop")
    dialog.get_by_role("button", name="Create API key").click()

    shown = desk.page.get_by_role("dialog", name="API key created")
    key = shown.get_by_label("API key", exact=True).inner_text()
    assert copy(shown, "API key") == key
    assert verdict(desk, key, scopes=["payment_scheme:edit"]) == "VALID"
    shown.get_by_role("button", name="I have stored it").click()
    expect(desk.page.get_by_text("The credential was created.")).to_be_visible()
    assert_nowhere(desk, key)
    until_caught_up(desk.installation.services, "credential_list")
    desk.page.get_by_role("link", name="Developers").click()
    expect(desk.page.get_by_role("row", name=re.compile("Web shop"))).to_contain_text("Active")


# --- S3: an account's channels ----------------------------------------------------------------------------------------


def test_s3_01_to_s3_03_a_new_master_and_its_sub_account_have_a_page_of_keys_each(desk: Desk) -> None:
    page = desk.page
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("link", name="Open account").first.click()
    page.get_by_label("Name").fill("Acme Messaging")
    page.get_by_role("button", name="Open account").click()
    page.get_by_role("link", name="Add sub-account").click()
    page.get_by_label("Name").fill("Acme North")
    page.get_by_role("dialog").get_by_role("button", name="Open account").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Acme North")
    page.get_by_role("link", name="API Keys").click()
    expect(page.get_by_role("heading", name="No active channels")).to_be_visible()


def test_s3_02_an_old_masters_passwords_are_shown_until_they_are_stored(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{desk.url}/accounts")
    page.get_by_role("link", name="Open account").first.click()
    page.get_by_label("Name").fill("Acme Messaging")
    page.get_by_label("Opened on").fill("2023-06-05")
    page.get_by_role("button", name="Open account").click()
    shown = page.get_by_role("dialog", name="Account opened")
    password = shown.get_by_label("FTP password", exact=True).inner_text()
    login = shown.get_by_label("FTP login", exact=True).inner_text()
    assert verdict(desk, password, public_id=login, channel="ftp") == "VALID"
    assert verdict(desk, password, public_id=login, channel="http") == "WRONG_CHANNEL"
    press_escape_again_and_again(page)
    expect(shown).to_be_visible()
    expect(shown.get_by_label("FTP password", exact=True)).to_have_text(password)
    shown.get_by_role("button", name="I have stored them").click()
    assert_nowhere(desk, password)
    page.get_by_role("link", name="API Keys").click()
    expect(page.locator("tbody th a")).to_have_text(["Email", "FTP", "HTTP", "Web Service"])


def test_s3_05_to_s3_07_a_key_is_created_with_own_credentials(desk: Desk) -> None:
    dialog = open_create(desk, an_account(desk))
    create = dialog.get_by_role("button", name="Create API Key")
    for channel in ("FTP", "REST", "HTTP", "Web Service", "Email"):
        expect(dialog.get_by_role("radio", name=re.compile(f"^{channel}"))).to_be_visible()
    expect(dialog.get_by_label("Password", exact=True)).to_be_hidden()
    dialog.get_by_role("radio", name="FTP").check()
    dialog.get_by_role("radio", name="Live").check()
    expect(create).to_be_enabled()
    dialog.get_by_role("radio", name="Your own").check()
    expect(create).to_be_disabled()
    login = f"acme-{desk.organisation}"
    dialog.get_by_label("Login", exact=True).fill(login)
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    expect(dialog.get_by_text("Save it before you close")).to_be_visible()
    create.click()
    expect(desk.page.get_by_role("dialog", name="API key created")).to_contain_text("will not be shown again")
    assert verdict(desk, PASSWORD, public_id=login, channel="ftp", scopes=["customer:edit"]) == "VALID"
    desk.page.get_by_role("button", name="I have stored it").click()
    desk.page.get_by_role("link", name="API Keys").click()
    expect(desk.page.get_by_role("row", name=re.compile(login))).to_be_visible()


def test_s3_04_a_key_is_good_on_its_own_channel_only_and_its_login_is_nobody_elses(desk: Desk) -> None:
    login, account_id = f"acme-{desk.organisation}", an_account(desk)
    for channel in ("FTP", "HTTP"):  # the same login on another channel is another one's
        create_own(desk, account_id, channel, login)
        expect(desk.page.get_by_role("dialog", name="API key created")).to_be_visible()
        desk.page.get_by_role("button", name="I have stored it").click()
    assert verdict(desk, PASSWORD, public_id=login, channel="ftp") == "VALID"
    assert verdict(desk, PASSWORD, public_id=login, channel="email") == "NOT_FOUND"

    dialog = create_own(desk, an_account(desk), "FTP", login)
    expect(dialog.get_by_role("alert")).to_contain_text("Nothing was recorded")


def create_own(desk: Desk, account_id: UUID, channel: str, login: str) -> Any:
    """Ask for a key with one's own credentials."""
    dialog = open_create(desk, account_id)
    dialog.get_by_role("radio", name=re.compile(f"^{channel}")).check()
    dialog.get_by_role("radio", name="Live").check()
    dialog.get_by_role("radio", name="Your own").check()
    dialog.get_by_label("Login", exact=True).fill(login)
    dialog.get_by_label("Password", exact=True).fill(PASSWORD)
    dialog.get_by_role("button", name="Create API Key").click()
    return dialog


def test_s3_08_the_actions_menu_opens_the_whitelist_by_keyboard_and_every_wrong_line_is_told(desk: Desk) -> None:
    account_id, page, keys = an_account(desk), desk.page, desk.page.keyboard
    key = desk.credential(account_id=account_id, channel=Channel.REST, kind=Kind.API_KEY)
    page.goto(f"{desk.url}/accounts/{account_id}/api-keys")
    page.get_by_role("button", name="Actions for REST").focus()
    keys.press("Enter")
    expect(page.get_by_role("link", name="Change credentials")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("link", name="Change credentials")).to_be_hidden()
    keys.press("Enter")
    keys.press("Tab")
    keys.press("Tab")
    expect(page.get_by_role("link", name="IP Whitelist")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("dialog", name="IP Whitelist")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("button", name="Actions for REST")).to_be_focused()
    keys.press("Enter")
    page.get_by_role("link", name="IP Whitelist").press("Enter")

    dialog = page.get_by_role("dialog", name="IP Whitelist")
    lines = dialog.get_by_label("Addresses and networks")
    lines.fill("192.0.2.7\n192.0.2.300\n198.51.100.7/24")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator("#allowlist-error p")).to_have_text([re.compile("^Line 2"), re.compile("^Line 3")])
    expect(lines).to_be_focused()
    lines.fill("192.0.2.7\n198.51.100.0/24")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The allowlist was saved.")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("REST"))).to_contain_text("2 networks")
    assert desk.row(key)["allowlist"] == ["192.0.2.7/32", "198.51.100.0/24"]


def test_s3_09_credentials_are_changed_after_a_warning_that_implementations_break(desk: Desk) -> None:
    account_id, page = an_account(desk), desk.page
    login = f"acme-{desk.organisation}"
    desk.credential(account_id=account_id, channel=Channel.FTP, kind=Kind.CHANNEL_LOGIN, login=Login(login))
    page.goto(f"{desk.url}/accounts/{account_id}/api-keys")
    actions, change = page.get_by_role("button", name="Actions"), page.get_by_role("link", name="Change credentials")
    actions.click()
    expect(change).to_be_visible()
    menu, button = page.locator(".menu").bounding_box(), actions.bounding_box()
    assert menu is not None
    assert button is not None
    assert abs(menu["y"] - button["y"] - button["height"]) < 10  # beneath its button
    change.click()
    dialog = page.get_by_role("dialog", name="Change credentials")
    expect(dialog.locator(".notice-warning")).to_contain_text("will break")
    dialog.get_by_role("button", name="Change credentials").click()
    shown = page.get_by_role("dialog", name="New keys")
    password = shown.get_by_label("Password", exact=True).inner_text()
    assert verdict(desk, password, public_id=login, channel="ftp") == "VALID"


def test_s3_10_several_rest_keys_work_and_what_is_too_many_is_told(desk: Desk) -> None:
    account_id, page = an_account(desk), desk.page
    secrets = []
    for _ in range(2):
        dialog = open_create(desk, account_id)
        dialog.get_by_role("radio", name=re.compile("^REST")).check()
        dialog.get_by_role("radio", name="Live").check()
        dialog.get_by_role("button", name="Create API Key").click()
        shown = page.get_by_role("dialog", name="API key created")
        secrets.append(shown.locator("[data-secret]").inner_text())
        shown.get_by_role("button", name="I have stored it").click()
        expect(shown).to_have_count(0)
    assert [verdict(desk, secret, channel="rest") for secret in secrets] == ["VALID", "VALID"]
    page.goto(f"{desk.url}/accounts/{account_id}/api-keys")
    expect(page.get_by_role("row", name=re.compile("REST"))).to_have_count(2)

    login = f"acme-{desk.organisation}"
    create_own(desk, account_id, "FTP", login)
    page.get_by_role("button", name="I have stored it").click()
    refused = create_own(desk, account_id, "FTP", f"{login}-2")
    expect(refused.get_by_role("alert")).to_contain_text("where it may have 1")
    expect(refused.get_by_label("Login", exact=True)).to_have_value(f"{login}-2")


def test_an_account_is_closed_once_a_reason_is_given(desk: Desk) -> None:
    account_id, page = an_account(desk), desk.page
    page.goto(f"{desk.url}/accounts/{account_id}")
    page.get_by_role("link", name="Close account").click()
    dialog = page.get_by_role("dialog", name="Close account")
    close = dialog.get_by_role("button", name="Close account")
    expect(close).to_be_disabled()
    dialog.get_by_label("Why").fill("contract ended")
    close.click()
    expect(page.get_by_text("The account was closed")).to_be_visible()
    row = find_account(desk.installation.services.store, desk.organisation, account_id, now=given.context().at)
    assert row is not None
    assert row["closed_reason"] == "contract ended"


# --- for everyone -----------------------------------------------------------------------------------------------------


def every_page(desk: Desk) -> Iterator[str]:
    """The addresses of all kinds of pages, the empty ones first."""
    yield f"{desk.url}/merchants"
    yield f"{desk.url}/accounts"
    long: dict[str, Any] = {"name": Name(LONG[:200]), "reference": Reference(LONG[:100])}
    merchant = f"{desk.url}/merchants/{an_account(desk, AccountKind.MERCHANT, **long)}"
    yield f"{merchant}/developers"
    yield f"{merchant}/developers/create"
    master = an_account(desk, **long)
    sub = an_account(desk, AccountKind.SUB, parent_id=master)
    account = f"{desk.url}/accounts/{master}"
    yield f"{account}/api-keys"
    key = desk.credential(account_id=master, channel=Channel.REST, kind=Kind.API_KEY)
    desk.credential(account_id=UUID(merchant.rpartition("/")[2]), kind=Kind.API_KEY)
    for page in ("", "/open-sub", "/edit", "/close", "/api-keys", "/api-keys/create"):
        yield f"{account}{page}"
    yield f"{account}/api-keys/{key}/change"
    yield f"{account}/api-keys/{key}/whitelist"
    given.a_closed_account(desk.installation.services, sub)
    yield f"{desk.url}/accounts/{sub}"
    yield f"{desk.url}/accounts"
    yield f"{desk.url}/accounts?kind=bank"
    yield f"{desk.url}/accounts/open"
    yield merchant
    yield f"{merchant}/developers"


@pytest.mark.timeout(900)  # each of dozens of pages takes a second, and many on a busy machine
@pytest.mark.parametrize("where", ["desk", "phone"])
def test_axe_finds_nothing_on_any_page_and_none_scrolls_sideways(where: str, request: pytest.FixtureRequest) -> None:
    at: Desk = request.getfixturevalue(where)
    page: Page = at.page
    for address in every_page(at):
        page.goto(address)
        assert_accessible(page)
    dialog = open_add_key(at)
    dialog.get_by_role("radio", name="Write").check()
    assert_accessible(page)
    account_id = an_account(at)
    at.credential(account_id=account_id, channel=Channel.REST, kind=Kind.API_KEY)
    page.goto(f"{at.url}/accounts/{account_id}/api-keys")
    page.get_by_role("button", name="Actions").click()
    expect(page.get_by_role("link", name="IP Whitelist")).to_be_in_viewport()
    assert_accessible(page)
