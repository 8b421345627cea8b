"""Apps without JavaScript: S4, by its numbers."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from api.wiring import Services
from ledger.values import Kind, Mode, Role
from projections.application_status import ApplicationFilters, find_application, list_applications
from projections.credential_status import find_credential
from tests import given
from tests.console.conftest import Reader, SignIn
from tests.console.test_credentials import secret_on
from tests.waiting import until_caught_up

pytestmark = pytest.mark.usefixtures("projector")

FIRST_STEP = {"title": "Ledger sync", "description": "Books payouts.", "contact_email": "dev@example.com"}
LATER = datetime.now(UTC) + timedelta(days=6)


@pytest.fixture
def apps(services: Services, organisation: UUID) -> str:
    """Where the apps of an organisation with two APIs are."""
    both = ["live", "test"]
    offered = {"order:view": both, "order:edit": both, "payout:view": both}
    given.a_catalogue(
        services, organisation, offered, {"orders": ["order:view", "order:edit"], "payouts": ["payout:view"]}
    )
    return f"/console/organisations/{organisation}/apps"


def hidden_of(page: TestResponse) -> dict[str, str]:
    """What the form on a page that was answered holds that nobody types."""
    form = page.text[page.text.rindex("data-complete") :]
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)}


def new_app(reader: Reader, apps: str, **typed: object) -> TestResponse:
    """The wizard from its first step to its last."""
    second = reader.fill_in(f"{apps}/new", **FIRST_STEP)
    assert second.status_code == 200, second.text
    return reader.send(f"{apps}/new", hidden_of(second) | {"apis": ["orders"], "environment": "development"} | typed)


def the_app(services: Services, organisation: UUID) -> UUID:
    """The only app there is."""
    [row] = list_applications(services.store, organisation, ApplicationFilters()).rows
    found: UUID = row["application_id"]
    return found


def a_key(services: Services, organisation: UUID, application_id: UUID, **changes: object) -> UUID:
    """A key pair of the app that its list knows of."""
    receipt, _ = given.a_credential(
        services, organisation, **{"kind": Kind.KEY_PAIR, "application_id": application_id, **changes}
    )
    until_caught_up(services, "credential_list")
    return receipt.id


def test_s4_01_required_fields_then_apis_then_connect_and_generate_keys(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    head = services.log.head()
    missing = administrator.fill_in(f"{apps}/new", title="Ledger sync", contact_email="")
    assert (missing.status_code, 'id="contact_email-error"' in missing.text) == (422, True)

    second = administrator.fill_in(f"{apps}/new", **FIRST_STEP)
    assert "Connect and Generate Keys" in second.text
    assert {'value="orders"', 'value="payouts"'} <= set(re.findall(r'value="\w+"', second.text))
    assert services.log.head() == head  # nothing is recorded before the last step

    made = administrator.send(f"{apps}/new", hidden_of(second) | {"apis": "orders", "environment": "development"})

    assert (made.status_code, services.log.head()) == (200, head + 4)  # registered, connected, created, scopes fixed
    row = find_application(services.store, organisation, the_app(services, organisation))
    assert row is not None
    assert (row["title"], row["description"], row["apis"]) == ("Ledger sync", "Books payouts.", ["orders"])


def test_s4_01_going_back_keeps_what_was_typed(administrator: Reader, apps: str) -> None:
    second = administrator.fill_in(f"{apps}/new", **FIRST_STEP)
    chosen = {"apis": "orders", "environment": "staging"}
    first = administrator.send(f"{apps}/new", hidden_of(second) | chosen | {"back": "1"})

    assert 'value="Ledger sync"' in first.text
    assert "Books payouts.</textarea>" in first.text
    again = administrator.send(f"{apps}/new", hidden_of(first) | FIRST_STEP)
    assert re.search(r'value="orders"\s+checked', again.text)
    assert re.search(r'value="staging"\s+checked', again.text)


def test_the_first_keys_of_an_app_can_end_by_themselves_and_say_why_they_were_made(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    ends = {"expires_at": f"{LATER:%Y-%m-%dT%H:%M:%SZ}", "reason": "INC-7"}
    back = new_app(administrator, apps, back="1", **ends)
    assert ends.items() <= hidden_of(back).items()
    refused = new_app(administrator, apps, expires_at="2020-01-01T00:00:00Z")
    assert (refused.status_code, 'id="expires_at-error"' in refused.text) == (422, True)

    assert secret_on(new_app(administrator, apps, **ends))

    keys = administrator.read(f"{apps}/{the_app(services, organisation)}/keys").text
    [pair] = re.findall(rf'href="(/console/organisations/{organisation}/credentials/[\w-]+)"', keys)
    row = find_credential(services.store, organisation, UUID(pair[-36:]))
    assert row is not None
    assert row["expires_at"] == LATER.replace(microsecond=0)
    assert "“<bdi>INC-7</bdi>”" in administrator.read(pair).text


def test_s4_01_an_app_without_apis_is_refused_and_nothing_is_left_behind(
    services: Services, administrator: Reader, apps: str
) -> None:
    head = services.log.head()
    refused = new_app(administrator, apps, apis=[])
    assert (refused.status_code, "Nothing was recorded" in refused.text) == (422, True)
    assert services.log.head() == head


def test_where_the_catalogue_lists_no_api_the_app_is_created_without_keys(
    services: Services, administrator: Reader, organisation: UUID
) -> None:
    apps = f"/console/organisations/{organisation}/apps"
    made = new_app(administrator, apps, apis=[])
    assert made.headers["Location"] == f"{apps}/{the_app(services, organisation)}?done=app_created"


def test_s4_02_success_says_so_word_for_word_with_both_keys_to_copy_now(administrator: Reader, apps: str) -> None:
    made = new_app(administrator, apps)

    assert "Successfully Generated your API Keys!" in made.text
    assert ">Shared Key<" in made.text
    assert ">Secret Key<" in made.text
    assert "Copy these now" in made.text
    assert secret_on(made).startswith("kl_key_pair_test_")


def test_s4_03_and_s4_06_the_new_pair_is_among_the_access_keys_and_its_secret_is_not(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    made = new_app(administrator, apps)
    secret, app = secret_on(made), f"{apps}/{the_app(services, organisation)}"

    stored = administrator.send(f"{app}/stored", hidden_of_stored(made))

    assert stored.headers["Location"] == f"{app}/keys?done=keys_generated"
    keys = administrator.read(stored.headers["Location"]).text
    assert "The keys were generated." in keys
    assert secret not in keys
    assert f"</span>{secret[-4:]}</code>" in keys


def hidden_of_stored(page: TestResponse) -> dict[str, str]:
    """What the form "I have stored it" holds."""
    form = page.text[page.text.index("data-shows-secret") :]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))


def test_a_keys_own_page_names_its_app_and_leads_back_to_the_access_keys(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    app = given.an_application(services, organisation, "orders")
    key = a_key(services, organisation, app, name="Nightly")

    page = administrator.read(f"/console/organisations/{organisation}/credentials/{key}").text

    crumbs = page[page.index('aria-label="Breadcrumb"') : page.index("<h1>")]
    assert re.findall(r'href="([^"]+)"', crumbs) == [apps, f"{apps}/{app}", f"{apps}/{app}/keys"]
    assert "<bdi>Ledger sync</bdi>" in crumbs
    assert f'<dt>App</dt><dd><a href="{apps}/{app}"><bdi>Ledger sync</bdi></a></dd>' in page


def test_s4_04_a_grid_of_cards_with_title_and_description(administrator: Reader, apps: str) -> None:
    assert "No apps yet" in administrator.read(apps).text
    new_app(administrator, apps)

    page = administrator.read(apps).text
    card = r'class="card link"><h2><a [^>]+><bdi>Ledger sync</bdi></a></h2>\s*<p class="clamp"><bdi>Books payouts.'
    assert re.search(card, page)
    assert "Nothing found" in administrator.read(f"{apps}?q=nothing-like-it").text
    assert administrator.read(f"{apps}?q=%00").status_code == 422
    assert administrator.read(f"{apps}?archived=perhaps").status_code == 422


def test_s4_05_three_tabs_hold_the_information_all_keys_and_all_connected_apis(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    new_app(administrator, apps, apis=["orders", "payouts"])
    app_id = the_app(services, organisation)

    information, keys, connected = (administrator.read(f"{apps}/{app_id}{tab}").text for tab in ("", "/keys", "/apis"))

    assert {">Ledger sync<", ">Books payouts.<", f">{app_id}<"} <= set(re.findall(r">[^<>]+<", information))
    assert keys.count('<th scope="row"') == 1
    assert {"orders", "payouts"} <= set(re.findall(r"<h2><bdi>(\w+)</bdi></h2>", connected))
    assert "<code>order:edit</code>" in connected


@pytest.mark.parametrize(
    ("environment", "mode"), [("development", "test"), ("staging", "test"), ("production", "live")]
)
def test_s4_07_generate_key_makes_a_pair_for_an_environment(
    services: Services, administrator: Reader, organisation: UUID, apps: str, environment: str, mode: str
) -> None:
    app_id = given.an_application(services, organisation, "orders")

    made = administrator.fill_in(
        f"{apps}/{app_id}/keys/generate", environment=environment, contact_email="dev@example.com"
    )

    assert "Successfully Generated your API Keys!" in made.text
    assert secret_on(made).startswith(f"kl_key_pair_{mode}_")
    keys = administrator.read(f"{apps}/{app_id}/keys").text
    assert f"<span>{environment.capitalize()}</span><small>{mode.capitalize()}</small>" in keys


def test_s4_08_the_toggle_asks_to_revoke_now_later_or_keep(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    app_id = given.an_application(services, organisation, "orders")
    key_id = a_key(services, organisation, app_id)
    path = f"{apps}/{app_id}/keys/{key_id}/revoke"

    asked = administrator.read(path).text
    assert "Revoking the Key" in asked
    assert {"Revoke now", "Revoke after a grace period", "Keep the key"} <= set(re.findall(r"<strong>([^<]+)<", asked))
    assert administrator.fill_in(path, revocation_reason="unspecified").status_code == 422

    head = services.log.head()
    kept = administrator.fill_in(path, action="keep")
    assert kept.headers["Location"] == f"{apps}/{app_id}/keys?done=kept"
    assert services.log.head() == head


@pytest.mark.parametrize(("action", "badge"), [("now", "Inactive"), ("later", "Active")])
def test_s4_08_a_revoked_key_never_comes_back(
    services: Services, administrator: Reader, organisation: UUID, apps: str, action: str, badge: str
) -> None:
    app_id = given.an_application(services, organisation, "orders")
    key_id = a_key(services, organisation, app_id)
    path = f"{apps}/{app_id}/keys/{key_id}/revoke"

    form = {"action": action, "grace_seconds": "604800", "revocation_reason": "compromised"}
    assert administrator.fill_in(path, **form).status_code == 303

    row = find_credential(services.store, organisation, key_id)
    assert row is not None
    assert (row["revoked_at"] > LATER) is (action == "later")
    keys = administrator.read(f"{apps}/{app_id}/keys").text
    assert f'">{badge}</span>' in keys
    assert (path in keys) is (action == "later")
    if action == "now":
        assert administrator.fill_in(path, **form).status_code == 409


def test_s4_09_the_table_shows_status_shared_key_masked_secret_creation_date_and_id(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    app_id = given.an_application(services, organisation, "orders")
    row = find_credential(services.store, organisation, a_key(services, organisation, app_id))
    assert row is not None

    keys = administrator.read(f"{apps}/{app_id}/keys").text

    for heading in ("Status", "Shared Key", "Secret Key", "Creation Date", "Credential ID"):
        assert f'<th scope="col">{heading}</th>' in keys
    assert '<span class="badge badge-active">Active</span>' in keys
    assert f'<code class="whole">{row["public_id"]}</code>' in keys
    assert f'••••••••</span><span class="hidden">ends with </span>{row["secrets"][0]["hint"]}</code>' in keys
    assert f"{row['created_at'].astimezone(UTC):%Y-%m-%d}</time>" in keys
    assert f"<code>{row['credential_id']}</code>" in keys


def test_s4_10_what_is_overdue_shows(services: Services, administrator: Reader, organisation: UUID, apps: str) -> None:
    app_id = given.an_application(services, organisation, "orders")
    a_key(services, organisation, app_id, context=given.context(datetime.now(UTC) - timedelta(days=91)))
    assert "Rotation overdue" in administrator.read(f"{apps}/{app_id}/keys").text


def test_s4_10_production_keys_are_not_offered_without_the_grant_and_refused_if_tried(
    services: Services, sign_in: SignIn, organisation: UUID, apps: str
) -> None:
    developer = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    app_id = given.an_application(services, organisation, "orders")
    generate = f"{apps}/{app_id}/keys/generate"

    assert re.search(r'value="production"\s*disabled', developer.read(generate).text)
    refused = developer.fill_in(generate, environment="production", contact_email="dev@example.com")
    assert refused.status_code == 403
    assert new_app(developer, apps, environment="production").status_code == 403

    live = a_key(services, organisation, app_id, mode=Mode.LIVE)
    assert "/revoke" not in developer.read(f"{apps}/{app_id}/keys").text
    for path in (f"keys/{live}/revoke", "apis/connect", "archive"):
        assert developer.read(f"{apps}/{app_id}/{path}").status_code == 403


def test_who_lacks_the_grant_for_production_is_not_offered_to_govern_an_app_with_live_keys(
    services: Services, sign_in: SignIn, organisation: UUID, apps: str
) -> None:
    operator = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    application_id = given.an_application(services, organisation, "orders")
    app = f"{apps}/{application_id}"
    pages = {f"{app}": "archive", f"{app}/apis": "apis/connect"}
    for page, what in pages.items():
        assert f'{app}/{what}"' in operator.read(page).text

    a_key(services, organisation, application_id, mode=Mode.LIVE)

    for page, what in pages.items():
        assert f'{app}/{what}"' not in operator.read(page).text
        assert operator.read(f"{app}/{what}").status_code == 403
    assert f'{app}/edit"' in operator.read(app).text


def test_an_app_is_edited_connected_and_archived(
    services: Services, administrator: Reader, organisation: UUID, apps: str
) -> None:
    app_id = given.an_application(services, organisation, "orders")
    app = f"{apps}/{app_id}"

    theirs = administrator.hidden(f"{app}/edit")
    administrator.fill_in(f"{app}/edit", title="Books", description="")
    assert administrator.send(f"{app}/edit", theirs | {"title": "Other"}).status_code == 412
    administrator.fill_in(f"{app}/apis/connect", apis=["payouts"])
    assert administrator.fill_in(f"{app}/apis/connect", apis=["invoices"]).status_code == 422
    administrator.fill_in(f"{app}/archive", reason="INC-9")

    row = find_application(services.store, organisation, app_id)
    assert row is not None
    assert (row["title"], row["apis"], row["archived_reason"]) == ("Books", ["payouts"], "INC-9")
    page = administrator.read(app).text
    assert "its credentials are refused" in page.lower()
    assert f"{app}/edit" not in page
    assert administrator.read(f"{app}/keys").text.count("generate") == 0
