"""The console as people meet it: S0 and S1 by their numbers, by mouse, by keyboard, and when things go wrong."""

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Dialog, expect

from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.values import Channel, Kind, Mode, Role
from tests import given
from tests.console.browsing import (
    LONG,
    Desk,
    assert_accessible,
    assert_nowhere,
    at_a_desk,
    copy,
    press_escape_again_and_again,
    sign_in,
    under_way,
    verifier_of,
)
from tests.running.doors import Installation
from tests.waiting import until_caught_up

# --- S0: the dialog ---------------------------------------------------------------------------------------------------


def test_s0_01_the_dialog_opens_from_the_page_for_those_who_may(desk: Desk) -> None:
    desk.open_dialog()


def test_s0_01_and_s1_11_who_may_only_read_is_offered_nothing(auditor: Desk) -> None:
    auditor.page.goto(auditor.partner_api)
    expect(auditor.page.get_by_role("heading", name="Partner API")).to_be_visible()
    expect(auditor.page.get_by_role("link", name="Create credentials")).to_have_count(0)
    auditor.page.goto(f"{auditor.partner_api}/create")
    expect(auditor.page.get_by_role("alert")).to_contain_text("takes one of the roles")


def test_s0_02_to_s0_05_and_s0_09_the_dialog_holds_what_it_must(desk: Desk) -> None:
    dialog = desk.open_dialog()

    expect(dialog.get_by_role("heading", name="Create credentials")).to_be_visible()
    warning = dialog.locator(".notice-warning")
    expect(warning).to_contain_text("give access to your account data")
    expect(warning).to_contain_text("secure and confidential")
    expect(warning).to_contain_text("whoever holds them can act through the API")
    expect(warning).to_contain_text("Never share them publicly")
    expect(dialog.get_by_label("Email")).to_be_focused()
    expect(dialog.get_by_role("radio", name="Full")).to_be_visible()
    expect(dialog.get_by_role("radio", name="Fine grained")).to_be_checked()
    expect(dialog.locator(".option", has_text="Fine grained")).to_contain_text("Recommended for security-sensitive")
    for button in ("Cancel", "Create credentials", "Close"):
        expect(dialog.get_by_role("button", name=button)).to_be_visible()
    dialog.get_by_text("Handling credentials safely").click()
    for note in ("like passwords", "secret manager", "public repository", "Rotate them", "revoke what is not used"):
        expect(dialog.locator(".notes")).to_contain_text(note)


def test_s0_04_an_email_that_is_none_is_refused_beside_its_field_and_what_was_typed_is_kept(desk: Desk) -> None:
    dialog, head = desk.open_dialog(), desk.head()
    email = dialog.get_by_label("Email")
    email.fill("dev..ops@example.com")
    dialog.get_by_label("Name").fill("Billing")
    dialog.get_by_label("Full").check()

    dialog.get_by_role("button", name="Create credentials").click()

    expect(dialog.locator("#contact_email-error")).to_be_visible()
    expect(email).to_be_focused()
    expect(email).to_have_value("dev..ops@example.com")
    expect(dialog.get_by_label("Name")).to_have_value("Billing")
    expect(dialog.get_by_label("Full")).to_be_checked()
    assert desk.head() == head


def test_what_is_wrong_with_a_field_is_in_sight_on_a_phone(phone: Desk) -> None:
    dialog = phone.open_dialog()
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("Full").check()
    dialog.get_by_label("Expires").fill("2020-01-31T12:00")
    dialog.get_by_role("button", name="Create credentials").click()
    expect(dialog.get_by_label("Expires")).to_be_focused()
    expect(dialog.get_by_text("It lies in the past.")).to_be_in_viewport(ratio=1)


def test_s0_06_create_is_disabled_until_the_form_is_complete_and_valid(desk: Desk) -> None:
    dialog = desk.open_dialog()
    create, email = dialog.get_by_role("button", name="Create credentials"), dialog.get_by_label("Email")
    expect(create).to_be_disabled()

    email.fill("dev@example.com")
    expect(create).to_be_disabled()  # no permission yet
    dialog.get_by_label("View customer", exact=True).check()
    expect(create).to_be_enabled()
    email.fill("nobody")
    expect(create).to_be_disabled()
    email.fill("dev@example.com")
    dialog.get_by_label("View customer", exact=True).uncheck()
    expect(create).to_be_disabled()
    dialog.get_by_label("Full").check()
    expect(create).to_be_enabled()
    expect(dialog.get_by_label("View customer", exact=True)).to_be_hidden()


def test_what_keeps_a_form_from_being_sent_is_said_beside_its_field(desk: Desk) -> None:
    dialog = desk.open_dialog()
    email, error = dialog.get_by_label("Email"), dialog.locator("#contact_email-error")
    for wrong, said in (
        ("dev@nowhere", "An address like dev@example.com."),
        ("dev", "An address like dev@example.com."),
        ("", "Please fill out this field."),
    ):
        email.fill(wrong)
        email.blur()
        expect(error).to_contain_text(said)
        expect(email).to_have_attribute("aria-invalid", "true")
        expect(email).to_have_accessible_description(re.compile(re.escape(said)))
    email.fill("dev@example.com")
    expect(error).to_have_count(0)
    expect(email).not_to_have_attribute("aria-invalid", "true")

    missing = dialog.get_by_text("Choose at least one permission.")
    dialog.get_by_label("Full").check()  # of which nothing is asked
    expect(missing).to_be_hidden()
    dialog.get_by_label("Fine grained").check()
    expect(missing).to_be_visible()
    dialog.get_by_label("View customer", exact=True).check()
    expect(missing).to_be_hidden()


@pytest.mark.parametrize("way", ["Cancel", "Close", "Escape"])
def test_s0_07_cancel_close_and_escape_discard_everything(desk: Desk, way: str) -> None:
    dialog, head = desk.open_dialog(), desk.head()
    dialog.get_by_label("Email").fill("dev@example.com")

    if way == "Escape":
        desk.page.keyboard.press("Escape")
    else:
        dialog.get_by_role("button", name=way).click()

    expect(dialog).to_be_hidden()
    assert desk.head() == head
    desk.page.get_by_role("link", name="Create credentials").first.click()
    expect(dialog.get_by_label("Email")).to_have_value("")


def test_s0_08_and_s0_10_the_secret_is_shown_once_is_copied_and_opens_the_door(desk: Desk) -> None:
    desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    client_id, secret = desk.create()
    dialog = desk.page.get_by_role("dialog")
    expect(dialog).to_contain_text("will not be shown again")
    for name, value in (("Client ID", client_id), ("Client secret", secret)):
        assert copy(dialog, name) == value

    asked = urllib.request.Request(
        f"{desk.installation.url}/v1/verify",
        json.dumps({"secret": secret, "public_id": client_id, "scopes": ["customer:edit"]}).encode(),
        {"Authorization": f"Bearer {verifier_of(desk)}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        assert json.load(answer)["code"] == "VALID"

    press_escape_again_and_again(desk.page)
    expect(dialog).to_be_visible()  # nobody loses a secret by one key, however often it is pressed
    expect(dialog.get_by_label("Client secret", exact=True)).to_have_text(secret)
    dialog.get_by_role("button", name="I have stored it").click()
    expect(desk.page.get_by_text("The credential was created.")).to_be_visible()
    assert_nowhere(desk, secret)
    desk.page.go_back()
    expect(desk.page.get_by_role("heading", name="Partner API")).to_be_visible()
    assert_nowhere(desk, secret)


def test_a_page_with_a_secret_that_is_left_does_not_come_back_with_it(desk: Desk) -> None:
    _, secret = desk.create()
    desk.page.goto(f"{desk.url}/credentials")
    desk.page.go_back()
    expect(desk.page.get_by_role("heading", name="Partner API")).to_be_visible()
    assert_nowhere(desk, secret)


def test_who_leaves_a_secret_that_was_not_stored_is_asked_first_and_after_that_never(desk: Desk) -> None:
    page = desk.page
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    _, secret = desk.create()
    with page.expect_event("dialog"):
        page.evaluate("location.reload()")
    expect(page.locator("[data-secret]")).to_have_text(secret)

    page.get_by_role("button", name="I have stored it").click()
    expect(page.get_by_text("The credential was created.")).to_be_visible()
    page.reload()
    assert asked == ["beforeunload"]


# --- S1: the page -----------------------------------------------------------------------------------------------------


def test_s1_01_settings_organisation_partner_api_and_back(desk: Desk) -> None:
    page = desk.page
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Partner API").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Partner API")
    expect(page.get_by_role("navigation", name="Breadcrumb")).to_contain_text("Organisation")
    page.get_by_role("link", name="Back to Settings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Organisation settings")


def test_s1_02_the_documentation_is_a_link_away(desk: Desk) -> None:
    desk.page.goto(desk.partner_api)
    desk.page.get_by_role("link", name="Documentation").click()
    expect(desk.page.get_by_role("heading", name="Keyledger").first).to_be_visible()
    expect(desk.page).to_have_url(re.compile("/docs$"))


def test_s1_03_and_s1_04_the_empty_state_offers_the_first_one(desk: Desk) -> None:
    desk.page.goto(desk.partner_api)
    expect(desk.page.get_by_role("heading", name="No API keys yet")).to_be_visible()
    expect(desk.page.get_by_text("No external system is connected")).to_be_visible()
    offers = desk.page.get_by_role("link", name="Create credentials")
    expect(offers).to_have_count(2)
    offers.last.click()
    expect(desk.page.get_by_role("dialog", name="Create credentials")).to_be_visible()


def test_s1_05_entries_have_an_identifier_a_creation_date_and_a_status(desk: Desk) -> None:
    row = desk.row(desk.credential(name="Billing"))
    desk.page.goto(desk.partner_api)
    entry = desk.page.get_by_role("row", name=re.compile("Billing"))
    expect(entry).to_contain_text(row["public_id"])
    expect(entry).to_contain_text("Active")
    expect(entry.locator("time")).to_have_attribute(
        "datetime", f"{row['created_at'].astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    )


def test_s1_06_an_entry_is_viewed_restricted_regenerated_and_revoked(desk: Desk) -> None:
    page, credential_id = desk.page, desk.credential(name="Billing")
    page.goto(desk.partner_api)
    page.get_by_role("link", name="Billing").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Billing")

    page.get_by_role("link", name="Edit allowlist").click()
    page.get_by_label("Addresses and networks").fill("192.0.2.0/24")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The allowlist was saved.")).to_be_visible()
    page.get_by_role("link", name="Edit details").click()
    page.get_by_label("Owner's email").fill("billing@example.com")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your changes were saved.")).to_be_visible()
    page.get_by_role("link", name="Regenerate keys").click()
    page.get_by_label("The old secret").select_option("Both good for an hour")
    page.get_by_role("button", name="Regenerate keys").click()
    expect(page.get_by_label("Client secret", exact=True)).to_be_visible()
    page.get_by_role("button", name="I have stored it").click()
    expect(page.locator(".badges .badge").first).to_have_text("Rotating")
    page.get_by_role("link", name="Revoke").click()
    page.get_by_label("Because").select_option("Compromised")
    page.get_by_label("Why").fill("INC-7")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The credential was revoked.")).to_be_visible()

    row = desk.row(credential_id)
    assert (row["allowlist"], row["contact_email"]) == (["192.0.2.0/24"], "billing@example.com")
    assert (len(row["secrets"]), row["revocation_reason"]) == (2, "compromised")
    told = page.get_by_role("region", name="History").get_by_role("heading", level=3)
    expect(told).to_have_text(["Revoked", "Rotated", "Described", "Allowlist set", "Scopes fixed", "Created"])


def test_s1_07_creating_gives_a_client_id_a_client_secret_and_access_tokens(desk: Desk) -> None:
    client_id, secret = desk.create()
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    asked = urllib.request.Request(
        f"{desk.installation.url}/oauth2/token",
        b"grant_type=client_credentials&scope=customer:view",
        {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        token = json.load(answer)
    assert (token["token_type"], token["scope"]) == ("Bearer", "customer:view")
    assert token["access_token"].count(".") == 2  # a JWT (RFC 9068)


def test_s1_08_a_successor_begins_as_what_it_supersedes(desk: Desk) -> None:
    page, before = desk.page, desk.credential(name="Billing")
    page.goto(f"{desk.url}/credentials/{before}")
    page.get_by_role("link", name="Create a successor").click()
    dialog = page.get_by_role("dialog", name="Create a successor")
    expect(dialog.get_by_label("Name")).to_have_value("Billing")
    dialog.get_by_label("Edit customer", exact=True).check()
    dialog.get_by_role("button", name="Create credentials").click()
    page.get_by_role("button", name="I have stored it").click()

    expect(page.get_by_text("Supersedes", exact=True)).to_be_visible()
    after = UUID(page.url.rpartition("/")[2])
    assert desk.row(after)["supersedes"] == before
    assert set(desk.row(after)["scopes"]) == {*desk.row(before)["scopes"], "customer:edit"}


def test_s1_09_permissions_are_restricted_for_each_integration(desk: Desk) -> None:
    dialog = desk.open_dialog()
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("View customer", exact=True).check()
    dialog.get_by_role("button", name="Create credentials").click()
    desk.page.get_by_role("button", name="I have stored it").click()
    expect(desk.page.get_by_role("region", name="Permissions").get_by_role("listitem")).to_have_text(["customer:view"])


@pytest.mark.parametrize("scope", ["scan_app:edit", "event_configuration:edit", "entrance_plan:view", "internal:edit"])
def test_s1_10_what_it_does_not_govern_is_not_offered_and_is_refused_beside_the_permissions(
    desk: Desk, scope: str
) -> None:
    dialog, head = desk.open_dialog(), desk.head()
    expect(dialog.locator(f"[name=scopes][value^='{scope.partition(':')[0]}:']")).to_have_count(0)
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("View customer", exact=True).check()
    dialog.locator("[value='customer:view']").evaluate("(box, scope) => { box.value = scope; }", scope)
    dialog.get_by_role("button", name="Create credentials").click()
    expect(dialog.locator("#scopes-error")).to_be_visible()
    assert desk.head() == head


# --- by keyboard, by hand and when things go wrong --------------------------------------------------------------------


def test_a_keyboard_alone_creates_credentials(desk: Desk) -> None:
    page, keys, head = desk.page, desk.page.keyboard, desk.head()
    page.goto(desk.partner_api)
    page.get_by_role("link", name="Create credentials").first.focus()
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="Create credentials")
    expect(dialog.get_by_label("Email")).to_be_focused()
    keys.type("dev@example.com")
    for _ in range(3):
        keys.press("Tab")  # name, mode, access level
    keys.press("ArrowDown")
    expect(dialog.get_by_label("Full")).to_be_checked()
    keys.press("Enter")
    expect(page.get_by_role("dialog", name="Credentials created")).to_be_visible()
    assert desk.head() == head + 2


def test_a_double_click_creates_one_credential(desk: Desk) -> None:
    dialog, head = desk.open_dialog(), desk.head()
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("Full").check()
    with under_way(desk.page, "**/create"):  # the second click comes before the answer to the first
        dialog.get_by_role("button", name="Create credentials").dblclick()
    expect(desk.page.get_by_role("dialog", name="Credentials created")).to_be_visible()
    assert desk.head() == head + 2


def test_a_lost_connection_says_so_and_loses_nothing_that_was_typed(desk: Desk) -> None:
    dialog = desk.open_dialog()
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("Full").check()
    create = dialog.get_by_role("button", name="Create credentials")
    with desk.installation.wire.cut():
        create.click()
        expect(dialog.get_by_role("alert")).to_contain_text("No connection")
        expect(dialog.get_by_role("alert")).to_be_in_viewport()
    expect(dialog.get_by_label("Email")).to_have_value("dev@example.com")
    create.click()
    expect(desk.page.get_by_role("dialog", name="Credentials created")).to_be_visible()


def test_an_expired_session_says_so_and_the_form_is_sent_after_signing_in_again(desk: Desk) -> None:
    services, dialog = desk.installation.services, desk.open_dialog()
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("Full").check()
    create = dialog.get_by_role("button", name="Create credentials")
    services.store.rows("DELETE FROM console_session RETURNING 1")
    create.click()
    expect(dialog.get_by_role("alert")).to_contain_text("Your session has ended")
    expect(dialog.get_by_role("alert")).to_be_in_viewport()

    _, token = given.an_operator(services, Role.ADMINISTRATOR, organisation_id=desk.organisation)
    other = desk.page.context.new_page()
    sign_in(other, desk.installation.url, token)
    other.close()
    create.click()
    expect(dialog.get_by_role("alert")).to_contain_text("signed in anew")
    create.click()

    expect(desk.page.get_by_role("dialog", name="Credentials created")).to_be_visible()


def test_the_list_is_filtered_in_place_and_its_address_says_how(desk: Desk) -> None:
    desk.credential(name="Billing")
    desk.credential(name="Tickets", kind=Kind.API_KEY)
    page = desk.page
    page.goto(f"{desk.url}/credentials")
    page.get_by_label("Kind").select_option("API key")
    expect(page.get_by_role("link", name="Billing")).to_have_count(0)
    expect(page.get_by_role("link", name="Tickets")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/credentials\?kind=api_key$"))
    page.get_by_label("Search").fill("bill")  # at once: each pause between two letters is one more to go back through
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("link", name="Tickets")).to_be_visible()
    page.wait_for_load_state()
    page.go_back()
    expect(page.get_by_role("link", name="Billing")).to_be_visible()


def test_a_keyboard_keeps_its_place_from_page_to_page_and_is_told_how_much_there_is(desk: Desk) -> None:
    for name in ("Archive", "Billing", "Tickets"):
        desk.credential(name=name)
    page, keys = desk.page, desk.page.keyboard
    page.goto(f"{desk.url}/credentials?limit=1")
    following = page.get_by_role("link", name="Next page")
    following.focus()
    keys.press("Enter")
    expect(page.get_by_role("link", name="Billing")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="1 shown")).to_be_attached()
    expect(following).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("link", name="Archive")).to_be_visible()
    expect(page.get_by_role("link", name="First page")).to_be_focused()  # there is no next one


def test_times_are_shown_in_the_readers_zone_with_utc_on_hover(desk: Desk) -> None:
    made = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    credential_id = desk.credential(context=given.context(made))
    desk.page.goto(f"{desk.url}/credentials/{credential_id}")
    shown = desk.page.get_by_role("region", name="Details").locator("time").first
    expect(shown).to_have_text("2 Mar 2026, 00:30")
    expect(shown).to_have_attribute("title", "2026-03-01 23:30:00 UTC")


def test_days_are_the_readers_too_however_many_hours_they_have(desk: Desk) -> None:
    page, services = desk.page, desk.installation.services
    desk.credential(context=given.context(datetime(2026, 3, 1, 23, 30, tzinfo=UTC)))
    until_caught_up(services)
    page.goto(f"{desk.url}/activity")
    begin, end = page.get_by_label(re.compile("^From")), page.get_by_label(re.compile("^To"))

    def choose(day: str) -> None:
        begin.fill(day)
        end.fill(day)

    choose("2026-03-02")
    expect(page).to_have_url(re.compile("since=2026-03-01T23%3A00%3A00.000Z&until=2026-03-02T23%3A00%3A00.000Z"))
    expect(page.get_by_role("heading", name="Credential created")).to_be_visible()
    choose("2026-03-01")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    choose("2026-03-29")  # an hour is left out that night
    expect(page).to_have_url(re.compile("since=2026-03-28T23%3A00%3A00.000Z&until=2026-03-29T22%3A00%3A00.000Z"))
    page.reload()
    expect(begin).to_have_value("2026-03-29")
    expect(end).to_have_value("2026-03-29")


def test_a_form_under_way_cannot_be_closed_and_its_secret_is_shown(desk: Desk) -> None:
    page, dialog = desk.page, desk.open_dialog()
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("Full").check()
    with under_way(page, "**/create"):
        dialog.get_by_role("button", name="Create credentials").click()
        expect(dialog.get_by_role("button", name="Create credentials")).to_be_disabled()

        press_escape_again_and_again(page)
        dialog.get_by_role("button", name="Cancel").click()
        dialog.get_by_role("button", name="Close").click()
        expect(dialog).to_be_visible()

    expect(page.get_by_role("dialog", name="Credentials created")).to_be_visible()


def test_a_service_that_does_not_answer_is_told_in_time_and_nothing_typed_is_lost(desk: Desk) -> None:
    page, dialog = desk.page, desk.open_dialog()
    dialog.get_by_label("Email").fill("dev@example.com")
    dialog.get_by_label("Full").check()
    create = dialog.get_by_role("button", name="Create credentials")
    assert page.evaluate("htmx.config.timeout") == 60_000
    page.evaluate("htmx.config.timeout = 300")
    page.route("**/create", lambda _: None, times=1)
    create.click()
    expect(dialog.get_by_role("alert")).to_contain_text("did not answer. What you typed is still here")
    expect(dialog.get_by_label("Email")).to_have_value("dev@example.com")
    page.evaluate("htmx.config.timeout = 60000")
    create.click()
    expect(page.get_by_role("dialog", name="Credentials created")).to_be_visible()


def test_a_long_name_in_a_dialogs_title_leaves_room_for_its_close_button(phone: Desk) -> None:
    services, page = phone.installation.services, phone.page
    given.an_operator(services, name=LONG[:200], organisation_id=phone.organisation)
    page.goto(f"{phone.url}/settings/operators?q={LONG[:20]}")
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("link", name="Roles").click()
    dialog = page.get_by_role("dialog", name="Roles of")
    expect(dialog.get_by_role("button", name="Close")).to_be_in_viewport(ratio=1)
    assert dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_without_javascript_credentials_are_created_and_revoked(browser: Browser, installation: Installation) -> None:
    for desk in at_a_desk(browser, installation, Role.ADMINISTRATOR, java_script_enabled=False):
        page = desk.page
        page.goto(desk.partner_api)
        page.get_by_role("link", name="Create credentials").first.click()
        page.get_by_label("Email").fill("dev@example.com")
        page.get_by_label("Full").check()
        page.get_by_role("button", name="Create credentials").click()
        expect(page.get_by_label("Client secret", exact=True)).to_be_visible()
        page.get_by_role("button", name="I have stored it").click()
        expect(page.locator("time").first).to_contain_text("UTC")
        page.get_by_role("link", name="Revoke").click()
        page.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("The credential was revoked.")).to_be_visible()


# --- for everyone -----------------------------------------------------------------------------------------------------


def every_page(desk: Desk) -> Iterator[str]:
    """The addresses of all kinds of pages, with something on each; the empty ones first."""
    yield desk.url
    yield f"{desk.url}/credentials"
    yield desk.partner_api
    yield f"{desk.partner_api}/create"
    plain = desk.credential(name=LONG[:200], networks=(), labels={LONG[:100]: LONG[:100]})
    desk.credential(mode=Mode.TEST, scopes=DEFAULT_CATALOGUE.preset("full_access", Mode.TEST))
    desk.credential(kind=Kind.CHANNEL_LOGIN, channel=Channel.FTP, login=f"acme-{desk.organisation}")
    yield desk.url
    yield f"{desk.url}/settings"
    yield f"{desk.url}/you"
    yield desk.partner_api
    yield f"{desk.url}/credentials"
    yield f"{desk.url}/credentials?q=nothing-like-this"
    yield f"{desk.url}/credentials?status=gone"
    yield f"{desk.url}/credentials/{plain}"
    for what in ("edit", "allowlist", "rotate", "revoke", "suspend", "successor"):
        yield f"{desk.url}/credentials/{plain}/{what}"
    yield f"{desk.url}/nowhere"
    yield f"{desk.installation.url}/console/organisations"
    yield f"{desk.installation.url}/console/sign-in"


def test_axe_finds_nothing_on_a_wide_screen_in_the_dark(dark: Desk) -> None:
    key = dark.credential(name=LONG[:200])
    given.a_webhook_endpoint(dark.installation.services, dark.organisation)
    until_caught_up(dark.installation.services)
    pages = ("activity", "dashboard", "reports", "settings/operators", "settings/webhooks")
    for path in (
        "",
        "/credentials",
        f"/credentials/{key}",
        f"/credentials/{key}/revoke",
        *(f"/{one}" for one in pages),
    ):
        dark.page.goto(f"{dark.url}{path}")
        assert_accessible(dark.page)
    dark.create()
    assert_accessible(dark.page)


@pytest.mark.timeout(900)  # each of dozens of pages takes a second, and many on a busy machine
@pytest.mark.parametrize("where", ["desk", "phone"])
def test_axe_finds_nothing_on_any_page_and_none_scrolls_sideways(where: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(where)
    for address in every_page(desk):
        desk.page.goto(address)
        assert_accessible(desk.page)
    desk.open_dialog()
    assert_accessible(desk.page)
    desk.create()
    assert_accessible(desk.page)
