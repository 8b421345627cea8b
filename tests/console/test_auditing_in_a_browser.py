"""What auditors and owners do in the console as people meet it: in Chromium, by mouse, by keyboard, wide and narrow."""

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from playwright.sync_api import expect

from ledger.commands import RevokeCredential, SuspendCredential
from ledger.values import RevocationReason
from tests import given
from tests.console.browsing import LONG, Desk, assert_accessible
from tests.waiting import until_caught_up


def revoked(desk: Desk, **changes: object) -> UUID:
    """A credential that was suspended and then revoked."""
    services, credential_id = desk.installation.services, desk.credential(**changes)
    services.ledger.handle(SuspendCredential(context=given.context(reason=LONG), credential_id=credential_id))
    services.ledger.handle(
        RevokeCredential(
            context=given.context(), credential_id=credential_id, revocation_reason=RevocationReason.NO_LONGER_USED
        )
    )
    return credential_id


def test_an_export_begins_in_the_dialog_is_watched_until_it_is_ready_and_downloaded(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{desk.url}/exports")
    expect(page.get_by_role("heading", name="No export yet")).to_be_visible()
    page.get_by_role("link", name="New export").first.click()  # the other one is where the list would be
    dialog = page.get_by_role("dialog", name="New export")
    start = dialog.get_by_role("button", name="Export")
    expect(start).to_be_disabled()  # it takes a reason
    dialog.get_by_role("radio", name="CSV").check()
    dialog.get_by_label("First day").fill("2026-01-01")
    dialog.get_by_role("checkbox", name="Credential", exact=True).check()
    dialog.get_by_label("Why").fill("audit of 2026")
    start.click()

    expect(page.get_by_role("heading", name="Export", exact=True)).to_be_visible()
    expect(page.get_by_text("Sealing", exact=True)).to_be_visible()
    given.sealed(desk.installation.services)
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()  # by itself

    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    manifest = page.get_by_text("Manifest of the CSV file")
    expect(manifest).to_be_visible()  # by itself as well
    manifest.click()
    expect(page.get_by_text("SHA-256")).to_be_visible()
    with page.expect_response(re.compile("/exports/")):
        page.evaluate("document.body.dispatchEvent(new Event('fetching'))")
    expect(page.get_by_text("SHA-256")).to_be_visible()  # what the reader unfolded stays so when the page looks anew
    page.get_by_role("link", name="Exports").click()
    expect(page.get_by_role("cell", name="audit of 2026")).to_be_visible()


def test_what_looks_by_itself_and_gets_no_answer_offers_to_look_again(desk: Desk) -> None:
    services, page = desk.installation.services, desk.page
    export_id = given.an_export(services, desk.organisation)
    until_caught_up(services)
    notice, again = page.locator("main > [data-notice]"), page.get_by_role("link", name="Look again")
    page.goto(f"{desk.url}/exports/{export_id}")
    expect(again).to_be_hidden()
    with desk.installation.wire.cut():
        expect(notice).to_have_text("No connection.")  # nobody typed anything
        expect(again).to_be_visible()
    again.click()
    expect(notice).to_be_empty()
    expect(page.get_by_text("Sealing", exact=True)).to_be_visible()

    ours = {"status": 500, "headers": {"X-Request-Id": "1"}, "body": "<main id=main></main>"}
    page.route("**/exports/*looks=*", lambda route: route.fulfill(**ours), times=1)
    expect(notice).to_have_text("Something went wrong.")
    expect(page.get_by_text("Sealing", exact=True)).to_be_visible()
    expect(again).to_be_visible()


def test_a_download_after_the_session_has_ended_leads_to_signing_in_and_saves_nothing(desk: Desk) -> None:
    services, page = desk.installation.services, desk.page
    saved: list[str] = []
    page.on("download", lambda download: saved.append(download.suggested_filename))
    credential_id = desk.credential()
    export_id = given.an_export(services, desk.organisation)
    review_id = given.an_access_review(services, desk.organisation)
    given.sealed(services)
    until_caught_up(services)
    for path, link in (
        (f"exports/{export_id}", "Download Bundle"),
        (f"access-reviews/{review_id}", "CSV"),
        (f"access-reviews/{review_id}", "Parquet"),
        (f"proofs/{credential_id}/1", "Download proof"),
    ):
        page.goto(f"{desk.url}/{path}")
        session = page.context.cookies()
        page.context.clear_cookies()
        page.get_by_role("link", name=link).click()
        expect(page.get_by_label("Operator token")).to_be_visible()
        page.context.add_cookies(session)  # type: ignore[arg-type]  # what was read can be given back
    assert saved == []


def test_a_keyboard_alone_asks_for_a_review_and_looks_through_it(desk: Desk) -> None:
    desk.credential(name="Billing")
    desk.credential(name="Tickets")
    page, keys = desk.page, desk.page.keyboard
    page.goto(f"{desk.url}/access-reviews")
    page.get_by_role("link", name="New access review").first.focus()
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="New access review")
    expect(dialog.get_by_role("textbox", name="As of", exact=True)).to_be_focused()
    dialog.get_by_label("Why").focus()
    keys.type("third quarter")
    keys.press("Enter")

    expect(page.get_by_role("heading", name="Access review", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Billing")).to_be_visible()
    page.get_by_label("Search", exact=True).last.focus()
    keys.type("tick")
    expect(page.get_by_role("link", name="Billing")).to_have_count(0)
    expect(page.get_by_role("link", name="Tickets")).to_be_visible()
    expect(page).to_have_url(re.compile("q=tick$"))  # before that, whatever was typed by the first look
    page.get_by_role("link", name="Page to print").focus()
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Access review as of")
    expect(page.get_by_role("rowheader", name="Billing")).to_be_visible()  # all of it, whatever was chosen


def test_erasing_takes_typing_the_identifier(desk: Desk) -> None:
    credential_id = revoked(desk)
    public_id = desk.row(credential_id)["public_id"]
    page = desk.page
    page.goto(f"{desk.url}/credentials/{credential_id}")
    page.get_by_role("link", name="Erase personal data").click()
    dialog = page.get_by_role("dialog", name="Erase personal data")
    erase = dialog.get_by_role("button", name="Erase for good")
    expect(erase).to_be_disabled()
    dialog.get_by_label("To confirm").fill(public_id[:-1])
    expect(erase).to_be_disabled()
    dialog.get_by_label("To confirm").fill(public_id)
    erase.click()
    expect(page.get_by_text("The personal data was destroyed.")).to_be_visible()
    expect(page.get_by_text("dev@example.com")).to_have_count(0)


def test_an_event_tells_what_was_before_and_after(desk: Desk) -> None:
    credential_id = revoked(desk)
    page = desk.page
    page.goto(f"{desk.url}/credentials/{credential_id}")
    changed = page.get_by_role("table", name="What version 3 changed")
    expect(changed.get_by_role("row", name="Status")).to_contain_text("Active")
    expect(changed.get_by_role("row", name="Status")).to_contain_text("Suspended")


def test_an_organisation_is_renamed_in_its_settings(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{desk.url}/settings")
    page.get_by_role("link", name="Rename").click()
    name = page.get_by_role("dialog", name="Rename organisation").get_by_label("Name")
    expect(name).to_have_value("Lanternfield")
    name.fill("Lanternfield Group")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_text("The organisation was renamed.")).to_be_visible()
    expect(page.get_by_role("banner").get_by_text("Lanternfield Group")).to_be_visible()


def new_pages(desk: Desk) -> Iterator[str]:
    """The addresses of these pages, the empty ones first."""
    services = desk.installation.services
    for path in ("exports", "exports/ask", "access-reviews", "access-reviews/ask", "settings/rename"):
        yield f"{desk.url}/{path}"
    credential_id = revoked(desk, name=LONG[:200])
    export_id = given.an_export(services, desk.organisation)
    review_id = given.an_access_review(services, desk.organisation)
    until_caught_up(services)
    yield f"{desk.url}/exports/{export_id}"
    given.sealed(services)
    for path in (
        "exports",
        f"exports/{export_id}?format=ocsf",
        f"exports/ask?credential_id={credential_id}",
        "access-reviews",
        f"access-reviews/{review_id}",
        f"access-reviews/{review_id}?q=nothing-like-this",
        f"access-reviews/{review_id}/print",
        f"credentials/{credential_id}",
        f"credentials/{credential_id}/erase",
    ):
        yield f"{desk.url}/{path}"
    endpoint_id = given.a_webhook_endpoint(services, desk.organisation)
    yield f"{desk.url}/settings/webhooks/{endpoint_id}"
    removed = given.an_operator(services, organisation_id=desk.organisation)[0]
    yield f"{desk.url}/settings/operators/{removed}/erase"
    erased = given.an_erased_operator(services, desk.organisation)
    until_caught_up(services)
    yield f"{desk.url}/activity?actor=operator:{erased}"


@pytest.mark.parametrize("where", ["desk", "phone"])
def test_axe_finds_nothing_on_these_pages_and_none_scrolls_sideways(where: str, request: pytest.FixtureRequest) -> None:
    at: Desk = request.getfixturevalue(where)
    for address in new_pages(at):
        at.page.goto(address)
        assert_accessible(at.page)


def test_who_registers_an_organisation_is_led_to_it(overseer: Desk) -> None:
    page = overseer.page
    page.goto(f"{overseer.installation.url}/console/organisations")
    page.get_by_role("link", name="Register organisation").click()
    page.get_by_role("dialog", name="Register organisation").get_by_label("Name").fill("Fernway")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_text("The organisation was registered.")).to_be_visible()
    assert_accessible(page)
