"""Every form of the console when things go wrong: without a connection, without a session, and in a hurry."""

from urllib.parse import urljoin
from uuid import UUID

import pytest
from playwright.sync_api import Locator, Page, expect

from ledger.values import Role
from projections.webhook_delivery import list_deliveries
from tests import given
from tests.console.browsing import Desk, sign_in, under_way
from tests.console.filling import FORMS, Sample, things, typed_into

FORM = "form[data-complete]"
# What is typed and chosen, as it would be sent; the token of the session is none of the reader's.
TYPED = f"() => [...new FormData(document.querySelector('{FORM}'))].filter(([name]) => name !== 'csrf')"


def come_to(desk: Desk, sample: Sample, ids: dict[str, UUID]) -> None:
    """The form, filled in, with all that goes before it done."""
    if sample.before:
        come_to(desk, FORMS[sample.before], ids)
        send(desk.page)
        done(desk.page)
    desk.page.goto(urljoin(f"{desk.url}/", sample.path.format(**ids)))
    fill_in(desk.page, sample)
    for _ in range(sample.steps - 1):
        heading = desk.page.locator(f"{FORM} [type=submit]").inner_text()
        send(desk.page)
        expect(desk.page.locator(f"{FORM} [type=submit]")).not_to_have_text(heading)
        fill_in(desk.page, sample)


def fill_in(page: Page, sample: Sample) -> None:
    """Choose first, as a choice can ask for more; then type."""
    fields = page.locator(FORM)
    for choice in fields.locator(":is([type=radio], [type=checkbox], select):visible").all():
        choose(fields, choice, sample)
    for text in fields.locator(":is(input:not([type=radio], [type=checkbox]), textarea):visible").all():
        name = text.get_attribute("name") or ""
        typed = (
            text.get_attribute("data-equals")
            or sample.typed.get(name)
            or typed_into(name, text.get_attribute("type") or "text")
        )
        if typed:
            text.fill(typed)


def choose(fields: Locator, choice: Locator, sample: Sample) -> None:
    """What the sample says, or the first that can be chosen where nothing is."""
    name, value = choice.get_attribute("name") or "", choice.get_attribute("value")
    if value is None:  # a list, which has something chosen
        return
    wanted = sample.typed.get(name)
    if wanted == value or (
        wanted is None and choice.is_enabled() and fields.locator(f"[name='{name}']:checked").count() == 0
    ):
        choice.check()


def send(page: Page) -> None:
    """Send the form."""
    page.locator(f"{FORM} [type=submit]").click()


def done(page: Page) -> None:
    """It was carried out: the page shows a new secret, or says what was done."""
    expect(page.locator("[data-shows-secret], .notice-done").first).to_be_visible()


@pytest.mark.parametrize("name", FORMS)
def test_nothing_typed_is_lost_without_a_connection_or_a_session_and_a_double_click_is_one(
    request: pytest.FixtureRequest, name: str
) -> None:
    sample = FORMS[name]
    desk: Desk = request.getfixturevalue("overseer" if sample.of_all else "desk")
    page, services = desk.page, desk.installation.services
    come_to(desk, sample, things(services, desk.organisation))
    typed, notice = page.evaluate(TYPED), page.locator(f"{FORM} [role=alert]")

    with desk.installation.wire.cut():
        send(page)
        expect(notice).to_contain_text("No connection")
    assert page.evaluate(TYPED) == typed

    services.store.rows("DELETE FROM console_session RETURNING 1")
    send(page)
    expect(notice).to_contain_text("Your session has ended")
    assert page.evaluate(TYPED) == typed

    of = None if sample.of_all else desk.organisation
    _, token = given.an_operator(services, Role.ADMINISTRATOR, organisation_id=of)
    other = page.context.new_page()
    sign_in(other, desk.installation.url, token)
    other.close()
    send(page)
    expect(notice).to_contain_text("signed in anew")
    assert page.evaluate(TYPED) == typed

    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.method == "POST" else None)
    with under_way(page, "**/*"):  # the second click comes before the answer to the first
        page.locator(f"{FORM} [type=submit]").dblclick()
    done(page)
    assert len(sent) == 1


def test_an_answer_between_the_two_clicks_of_a_double_click_loses_no_secret(desk: Desk) -> None:
    page, sample = desk.page, FORMS["rotate token"]
    come_to(desk, sample, things(desk.installation.services, desk.organisation))
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.method == "POST" else None)
    send(page)
    stored = page.get_by_role("button", name="I have stored it")
    stored.hover()  # on a wide screen it comes to lie where the form's button was
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    stored.click()
    expect(stored).to_have_count(0)
    assert [address.rpartition("/")[2] for address in sent] == ["rotate-token", "stored"]


def test_a_message_is_sent_once_by_a_double_click(desk: Desk) -> None:
    page, services = desk.page, desk.installation.services
    endpoint_id = given.a_webhook_endpoint(services, desk.organisation)
    sent: list[str] = []
    page.on("request", lambda asked: sent.append(asked.url) if asked.method == "POST" else None)
    page.goto(f"{desk.url}/settings/webhooks/{endpoint_id}")
    for button, path in (("Send test", "**/test"), ("Send again", "**/replay")):
        with under_way(page, path):  # the second click comes before the answer to the first
            page.get_by_role("button", name=button).dblclick(delay=100)
    expect(page.get_by_text("The message is sent again within seconds.")).to_be_visible()
    assert [address.rpartition("/")[2] for address in sent] == ["test", "replay"]
    assert len(list_deliveries(services.store, endpoint_id).rows) == 1


def test_what_is_too_much_to_read_is_told_in_place_and_stays(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{desk.url}/bulk-revocations/new")
    pasted = "\n".join(["é"] * 20_000)  # each is twelve bytes as it is sent
    page.get_by_label("Identifiers").evaluate("(area, pasted) => { area.value = pasted; }", pasted)
    send(page)
    expect(page.locator(f"{FORM} [role=alert]")).to_contain_text("too large")
    assert page.get_by_label("Identifiers").input_value() == pasted


def test_what_is_wrong_is_told_in_place_and_has_the_focus_on_a_page_of_its_own(desk: Desk) -> None:
    page = desk.page
    page.goto(f"{desk.url}/settings/partner-api/create")
    page.get_by_label("Email").fill("dev..ops@example.com")
    page.get_by_label("Name").fill("Billing")
    page.get_by_label("Full").check()
    send(page)
    expect(page.locator("#contact_email-error")).to_be_visible()
    expect(page.get_by_label("Email")).to_be_focused()
    expect(page.get_by_label("Name")).to_have_value("Billing")
