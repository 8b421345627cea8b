"""`python -m tests.console.screenshots`: pictures of the console for docs/screenshots, from the demo's companies.

In light, in the dark and on a narrow screen; a dialog over its page, an empty state and a refusal among them. The
demo's story is drawn from a seed, so what changes in a picture was changed by somebody.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from playwright.sync_api import Page

from api.demo.stories import tell_all
from api.wiring import Services
from ledger.store.embedded import EmbeddedPostgres
from ledger.values import Role
from projections.runner import Projector, wait_for
from tests import given
from tests.console.browsing import LONG, PHONE, READER, WIDE, chromium, sign_in
from tests.running.doors import Installation, an_installation

DIRECTORY = Path(__file__).parents[2] / "docs/screenshots"
TOLD_AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SEED = 7
SCREENS = {"light": (WIDE, "light"), "dark": (WIDE, "dark"), "phone": (PHONE, "light")}


@dataclass(frozen=True)
class Company:
    """Where a company's pages are; those of one that has nothing yet, and of some with merchants, channels, apps."""

    url: str
    empty: str
    payments: str
    messaging: str
    apps: str


def _dialog(page: Page, link: str) -> None:
    page.get_by_role("link", name=link).first.click()
    page.get_by_role("dialog").wait_for()


def _overview(page: Page, company: Company) -> None:
    page.goto(company.url)


def _partner_api(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/settings/partner-api")


def _empty(page: Page, company: Company) -> None:
    page.goto(f"{company.empty}/settings/partner-api")


def _create(page: Page, company: Company) -> None:
    _partner_api(page, company)
    _dialog(page, "Create credentials")


def _refused(page: Page, company: Company) -> None:
    _create(page, company)
    page.get_by_label("Email").fill("dev..ops@example.com")
    page.get_by_label("Full").check()
    page.get_by_role("dialog").get_by_role("button", name="Create credentials").click()
    page.get_by_role("alert").wait_for()


def _credentials(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/credentials")


def _credential(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/credentials?status=rotating")
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="History").wait_for()


def _revoke(page: Page, company: Company) -> None:
    _credential(page, company)
    _dialog(page, "Revoke")


def _merchants(page: Page, company: Company) -> None:
    page.goto(f"{company.payments}/merchants")


def _developers(page: Page, company: Company) -> None:
    _merchants(page, company)
    page.locator("tbody a").first.click()
    page.get_by_role("link", name="Developers").click()


def _add_key(page: Page, company: Company) -> None:
    _developers(page, company)
    _dialog(page, "Add API key")
    page.get_by_role("radio", name="Live").check()
    page.get_by_role("radio", name="Read-only").check()
    page.get_by_label("Edit customer", exact=True).check()
    page.get_by_role("group", name="Permissions", exact=True).scroll_into_view_if_needed()


def _accounts(page: Page, company: Company) -> None:
    page.goto(f"{company.messaging}/accounts?status=open")


def _account(page: Page, company: Company) -> None:
    _accounts(page, company)
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="Sub-accounts").wait_for()


def _api_keys(page: Page, company: Company) -> None:
    _account(page, company)
    page.get_by_role("link", name="API Keys").click()
    page.get_by_role("heading", name="API Keys").wait_for()


def _actions(page: Page, company: Company) -> None:
    _api_keys(page, company)
    page.get_by_role("button", name="Actions").first.click()


def _create_channel(page: Page, company: Company) -> None:
    _api_keys(page, company)
    _dialog(page, "Create API Key")
    page.get_by_role("radio", name="Your own").check()


def _change(page: Page, company: Company) -> None:
    _actions(page, company)
    _dialog(page, "Change credentials")


def _whitelist(page: Page, company: Company) -> None:
    _actions(page, company)
    page.get_by_role("link", name="IP Whitelist").click()
    page.get_by_label("Addresses and networks").fill("192.0.2.7\n192.0.2.300\n198.51.100.7/24")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").wait_for()


def _close_account(page: Page, company: Company) -> None:
    _account(page, company)
    _dialog(page, "Close account")


def _apps(page: Page, company: Company) -> None:
    page.goto(f"{company.apps}/apps")


def _new_app(page: Page, company: Company) -> None:
    _apps(page, company)
    _dialog(page, "New App")


def _access_keys(page: Page, company: Company) -> None:
    _apps(page, company)
    page.locator(".cards a").first.click()
    page.get_by_role("link", name="Access Keys").click()


def _revoking(page: Page, company: Company) -> None:
    _access_keys(page, company)
    page.locator("a.toggle").first.click()
    page.get_by_role("dialog").wait_for()


def _dashboard(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/dashboard")
    page.get_by_role("heading", name="Verifications by answer").wait_for()


def _menu(page: Page, company: Company) -> None:
    page.goto(company.url)
    if (button := page.get_by_role("button", name="Menu")).is_visible():
        button.click()


def _everybody(page: Page, company: Company) -> None:
    page.goto(f"{company.url.partition('/organisations/')[0]}/operators")


def _at(path: str) -> Callable[[Page, Company], None]:
    def come_to(page: Page, company: Company) -> None:
        page.goto(f"{company.url}/{path}")

    return come_to


def _new_export(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/exports")
    _dialog(page, "New export")


def _export(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/exports")
    page.locator("tbody a").first.click()
    page.get_by_role("link", name="Download").first.wait_for()


def _access_review(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/access-reviews")
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="As of").wait_for()


def _erase(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/credentials?status=revoked")
    page.locator("tbody a").first.click()
    _dialog(page, "Erase personal data")


# --- what happens to somebody, at a company whose lists are in no other picture ---------------------------------------


def _about_to_create(page: Page, company: Company) -> None:
    page.goto(f"{company.messaging}/settings/partner-api")
    _dialog(page, "Create credentials")
    page.get_by_label("Email").fill("dev@example.com")
    page.get_by_role("radio", name="Live").check()
    page.get_by_role("radio", name="Full").check()


def _send(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Create credentials").click()


def _secret(page: Page, company: Company) -> None:
    _about_to_create(page, company)
    _send(page)
    page.get_by_role("dialog", name="Credentials created").wait_for()


def _no_connection(page: Page, company: Company) -> None:
    _about_to_create(page, company)
    page.context.set_offline(True)
    _send(page)
    page.get_by_role("alert").wait_for()
    page.context.set_offline(False)


@contextmanager
def _signed_out(page: Page) -> Iterator[None]:
    """Nobody is signed in here for a moment."""
    cookies = page.context.cookies()
    page.context.clear_cookies()
    yield
    page.context.add_cookies(cookies)  # type: ignore[arg-type]  # what it gave is what it takes


def _session_ended(page: Page, company: Company) -> None:
    _about_to_create(page, company)
    with _signed_out(page):
        _send(page)
        page.get_by_role("alert").wait_for()


def _sign_in_refused(page: Page, company: Company) -> None:
    with _signed_out(page):
        page.goto(f"{company.url.partition('/organisations/')[0]}/sign-in")
        page.get_by_label("Operator token").fill("kl_operator_of_nobody")
        page.get_by_role("button", name="Sign in").click()
        page.locator("#token-error").wait_for()


def _generating(page: Page, company: Company) -> None:
    _access_keys(page, company)
    _dialog(page, "Generate Key")
    page.get_by_label("Owner's email").fill("dev@example.com")
    page.route("**/keys/generate", lambda _: None, times=1)  # no answer comes, and nothing is recorded
    page.get_by_role("dialog").get_by_role("button", name="Generate Key").click()
    page.get_by_role("progressbar").wait_for()


def _sealing(page: Page, company: Company) -> None:
    page.goto(f"{company.messaging}/exports")
    page.get_by_text("Sealing").wait_for()


def _delivery(page: Page, company: Company) -> None:
    page.goto(f"{company.messaging}/settings/webhooks")
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="Deliveries").wait_for()
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="Attempts").wait_for()


def _long_text(page: Page, company: Company) -> None:
    page.goto(f"{company.messaging}/credentials?q={LONG[:40]}")
    page.locator("tbody a").first.click()
    page.get_by_role("heading", name="History").wait_for()


def _dry_run(page: Page, company: Company) -> None:
    page.goto(f"{company.url}/bulk-revocations/new")
    page.locator("#mode").select_option("test")
    page.get_by_role("button", name="Look").click()
    page.get_by_role("button", name="Choose others").wait_for()


def _as_of(page: Page, company: Company) -> None:
    _credential(page, company)
    page.get_by_role("link", name="As of a date").click()
    page.locator("[rel=prev]").click()
    page.get_by_role("region", name="Then and now").wait_for()


def _proof(page: Page, company: Company) -> None:
    _credential(page, company)
    page.get_by_role("link", name="Verify").first.click()
    page.get_by_text("The log holds this event.").wait_for()


PICTURES: Mapping[str, Callable[[Page, Company], None]] = {
    "overview": _overview,
    "partner-api": _partner_api,
    "partner-api-empty": _empty,
    "create": _create,
    "create-refused": _refused,
    "credentials": _credentials,
    "credential": _credential,
    "revoke": _revoke,
    "merchants": _merchants,
    "developers": _developers,
    "add-api-key": _add_key,
    "accounts": _accounts,
    "account": _account,
    "api-keys": _actions,
    "create-api-key": _create_channel,
    "change-credentials": _change,
    "ip-whitelist-refused": _whitelist,
    "close-account": _close_account,
    "apps": _apps,
    "new-app": _new_app,
    "access-keys": _access_keys,
    "revoking-the-key": _revoking,
    "activity": _at("activity"),
    "dashboard": _dashboard,
    "reports": _at("reports"),
    "exports": _at("exports"),
    "new-export": _new_export,
    "export": _export,
    "access-reviews": _at("access-reviews"),
    "access-review": _access_review,
    "credential-erase": _erase,
    "operators": _at("settings/operators"),
    "everybody": _everybody,
    "you": _at("you"),
    "menu": _menu,
    "search": _at("search?q=a"),
    "search-nothing": _at("search?q=elephants"),
    "credentials-as-of": _at("credentials?as_of=2026-06-30T12:00"),
    "credentials-refused": _at("credentials?status=gone"),
    "not-here": _at("nowhere"),
    "webhooks": _at("settings/webhooks"),
    "bulk-revocation": _at("bulk-revocations/new"),
    "bulk-revocation-dry-run": _dry_run,
    "credential-as-of": _as_of,
    "proof": _proof,
    "secret": _secret,
    "generating-keys": _generating,
    "exports-sealing": _sealing,
    "delivery": _delivery,
    "no-connection": _no_connection,
    "session-ended": _session_ended,
    "long-text": _long_text,
    "sign-in-refused": _sign_in_refused,
}
"""Every picture, by its name, and how its page is come to."""


def take_all(installation: Installation, company: Company, token: str) -> None:
    """Take every picture on every screen."""
    DIRECTORY.mkdir(exist_ok=True)
    with chromium() as browser:
        for screen, (viewport, scheme) in SCREENS.items():
            context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce", **READER)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(f"{installation.url}/console/sign-in")
            page.screenshot(path=DIRECTORY / f"sign-in-{screen}.png")
            sign_in(page, installation.url, token)
            for name, come_to in PICTURES.items():
                come_to(page, company)
                page.screenshot(path=DIRECTORY / f"{name}-{screen}.png", animations="disabled", caret="hide")
            context.close()


def main() -> None:
    """Tell the demo's story to a fresh ledger, and take the pictures."""
    with tempfile.TemporaryDirectory(prefix="keyledger-screenshots-") as made:
        Path(made).chmod(0o755)
        directory = Path(made) / "pictures"  # its name becomes a schema's
        directory.mkdir(mode=0o755)
        with EmbeddedPostgres(directory) as server, an_installation(server.conninfo, directory) as installation:
            services = installation.services
            told = tell_all(services, now=TOLD_AT, seed=SEED)
            empty = given.an_organisation(services, "Fernway Railways")
            _, token = given.an_operator(services, Role.ADMINISTRATOR)
            given.an_export(services, told[0].script.organisation_id, TOLD_AT)
            given.an_access_review(services, told[0].script.organisation_id, TOLD_AT)
            given.sealed(services)
            _prepare(services, told[3].script.organisation_id)
            projector = Projector(services.log)
            projector.start()
            wait_for(services.store, "credential_list", services.log.head(), 60)
            festivals, _, payments, messaging, retailer = (one.script.organisation_id for one in told)
            shown = (festivals, empty, payments, messaging, retailer)
            take_all(installation, Company(*(_url(installation, id_) for id_ in shown)), token)
            projector.stop()


def _prepare(services: Services, messaging: UUID) -> None:
    """What pictures show and the demo does not have: a long name, a message that was sent, an export not sealed yet."""
    credential_id = given.a_credential(services, messaging, name=LONG[:200], context=given.context(TOLD_AT))[0].id
    endpoint_id = given.a_webhook_endpoint(services, messaging)
    delivery_id = given.a_webhook_delivery(services, messaging, endpoint_id, credential_id)
    sent = services.store.row(
        "UPDATE webhook_delivery SET queued_at = %(at)s, finished_at = %(at)s, delivered = true, attempts = 1 "
        "WHERE delivery_id = %(id)s RETURNING sequence",
        {"at": TOLD_AT, "id": delivery_id},
    )
    assert sent is not None
    services.store.rows(
        "INSERT INTO webhook_attempt VALUES (%s, 1, %s, 184, 204, '', '') RETURNING 1", (sent["sequence"], TOLD_AT)
    )
    given.an_export(services, messaging, TOLD_AT)


def _url(installation: Installation, organisation_id: UUID) -> str:
    return f"{installation.url}/console/organisations/{organisation_id}"


if __name__ == "__main__":
    main()
