"""Activity, dashboard, reports, operators, webhooks, bulk revocation and the past, without JavaScript."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from api.bulk_revoking import sweep_bulk_revocations
from api.wiring import Services
from ledger.commands import EraseOperator, RemoveOperator, RevokeCredential
from ledger.secret_format import SECRET_PATTERN
from ledger.values import Channel, EmailAddress, Kind, Mode, Name, RevocationReason, Role
from ledger.verification import Code
from projections.bulk_revocation_status import list_bulk_revocations
from projections.credential_status import find_credential
from projections.insights import DAYS, changes_by_day, secret_ages
from projections.operator_status import find_operator
from projections.usage import UsageRecorder
from projections.webhook_delivery import find_delivery, list_deliveries, queue_test
from projections.webhook_endpoint_status import find_webhook_endpoint, list_webhook_endpoints
from tests import given
from tests.console.conftest import Reader, SignIn
from tests.console.test_applications import hidden_of, hidden_of_stored
from tests.console.test_credentials import secret_on
from tests.waiting import until_caught_up

pytestmark = pytest.mark.usefixtures("projector")


@pytest.fixture
def url(organisation: UUID) -> str:
    """Where the organisation's pages are."""
    return f"/console/organisations/{organisation}"


def up_to_date(services: Services) -> None:
    """Every view has what was recorded by now."""
    until_caught_up(services)


# --- activity ---------------------------------------------------------------------------------------------------------


def test_the_feed_tells_who_did_what_why_and_from_where_and_links_to_it(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    credential_id = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)[0].id
    administrator.fill_in(f"{url}/credentials/{credential_id}/suspend", reason="INC-7")
    up_to_date(services)

    page = administrator.read(f"{url}/activity").text

    [first, *_] = re.findall(r"<li><h2>(.*?)</li>", page, re.DOTALL)
    assert first.startswith("Credential suspended</h2>")
    assert "Ada" in first
    assert "the console" in first
    assert "“<bdi>INC-7</bdi>”" in first
    assert f'href="{url}/credentials/{credential_id}"' in first


def test_the_feed_and_the_overview_name_what_something_happened_to_and_link_to_it(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    credential_id = given.a_credential(services, organisation, name="Night files")[0].id
    account_id = given.an_account(services, organisation, name=Name("Acme North"))
    operator_id, _ = given.an_operator(services, organisation_id=organisation, name="Grace")
    up_to_date(services)
    feed, overview = administrator.read(f"{url}/activity").text, administrator.read(url).text

    for address, kind, name in (
        (f"{url}/credentials/{credential_id}", "Credential", "Night files"),
        (f"{url}/accounts/{account_id}", "Account", "Acme North"),
        (f"{url}/activity?aggregate_id={operator_id}", "Operator", "Grace"),
    ):
        assert f'<a href="{address}">{kind} <bdi>{name}</bdi></a>' in feed
        assert re.search(rf'{kind} \w+: <a href="{re.escape(address)}"><bdi>{name}</bdi></a>', overview)
        assert administrator.read(address).status_code == 200


def test_the_feed_tells_values_in_words_and_each_text_in_a_direction_of_its_own(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    given.a_credential(services, organisation, name="ייצוא 2024 (v2)", labels={"צוות": "תשלומים"})
    given.an_operator(services, Role.AUDITOR, organisation_id=organisation)
    up_to_date(services)
    page = administrator.read(f"{url}/activity").text

    assert "<dd><bdi>ייצוא 2024 (v2)</bdi></dd>" in page
    assert "<dd><div><bdi>צוות</bdi>: <bdi>תשלומים</bdi></div></dd>" in page
    assert "<div><bdi>algorithm</bdi>: <bdi>hmac-sha256</bdi></div>" in page
    assert "<dt>Production</dt><dd>yes</dd>" in page
    assert not re.search(r"<dd>[^<]*(&#39;|True|False|None)", page)


def test_the_feed_calls_what_has_no_name_left_by_its_id(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    operator_id, _ = given.an_operator(services, organisation_id=organisation, name="Grace")
    services.ledger.handle(RemoveOperator(context=given.context(), operator_id=operator_id))
    services.ledger.handle(EraseOperator(context=given.context(), operator_id=operator_id))
    up_to_date(services)

    feed = administrator.read(f"{url}/activity").text

    assert f'aggregate_id={operator_id}">Operator <code>{operator_id}</code></a>' in feed
    assert "Grace" not in feed


def test_the_feed_is_filtered_by_its_address(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    long_ago = given.context(datetime(2026, 3, 1, 23, 30, tzinfo=UTC), address="192.0.2.7")
    given.a_credential(services, organisation, context=long_ago)
    given.an_application(services, organisation)
    up_to_date(services)

    def shown(query: str) -> set[str]:
        return set(re.findall(r"<li><h2>([^<]+)<", administrator.read(f"{url}/activity?{query}").text))

    created = {"Credential created", "Credential scopes fixed"}
    assert shown("topic=application.registered") == {"Application registered"}
    assert shown("since=2026-03-01&until=2026-03-01") == shown("address=192.0.2.7") == created
    assert shown("until=2026-02-28") == set()
    assert "Nothing found" in administrator.read(f"{url}/activity?until=2026-02-28").text
    sent = administrator.read(f"{url}/activity?since=2026-03-01T23:00:00.000Z&until=2026-03-02T23:00:00.000Z").text
    assert re.findall(r'id="(?:since|until)"[^>]* value="([^"]*)"', sent) == ["2026-03-01", "2026-03-02"]
    assert "Credential created" in sent
    for wrong in ("topic=gone", "since=soon", "address=nowhere", "cursor=nonsense", "nothing=1"):
        refused = administrator.read(f"{url}/activity?{wrong}")
        assert (refused.status_code, 'class="error"' in refused.text) == (422, True), wrong


@pytest.mark.parametrize("page", ["activity", "dashboard"])
def test_who_may_not_read_the_history_is_neither_offered_nor_given_it(
    sign_in: SignIn, organisation: UUID, url: str, page: str
) -> None:
    viewer = sign_in(Role.VIEWER, organisation_id=organisation)
    assert f"{url}/{page}" not in viewer.read(url).text
    assert viewer.read(f"{url}/{page}").status_code == 403


# --- dashboard and reports --------------------------------------------------------------------------------------------


def test_changes_are_counted_by_day_and_quiet_days_are_there(services: Services, organisation: UUID) -> None:
    now = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    for days in (0, 0, 3, DAYS - 1, DAYS):
        given.a_credential(services, organisation, context=given.context(now - timedelta(days=days)))
    given.a_credential(services, given.an_organisation(services, "Other"), context=given.context(now))
    up_to_date(services)

    counted = changes_by_day(services.store, organisation, now)

    assert [day.counts["created"] for day in counted] == [1, *[0] * (DAYS - 5), 1, 0, 0, 2]
    assert (counted[0].date, counted[-1].date) == (now.date() - timedelta(days=DAYS - 1), now.date())
    assert {day.counts["revoked"] for day in counted} == {0}


def test_the_age_of_secrets_counts_each_good_credential_once(services: Services, organisation: UUID) -> None:
    now = datetime.now(UTC)
    for days in (0, 29, 30, 89, 90, 400):
        given.a_credential(services, organisation, context=given.context(now - timedelta(days=days, minutes=1)))
    gone = given.a_credential(services, organisation)[0].id
    services.ledger.handle(
        RevokeCredential(
            context=given.context(),
            credential_id=gone,
            revocation_reason=RevocationReason.UNSPECIFIED,
            effective_at=None,
        )
    )
    up_to_date(services)

    assert secret_ages(services.store, organisation, now, (30, 90)) == [2, 2, 2]


@pytest.mark.usefixtures("within_a_day")
def test_the_dashboard_draws_bars_and_has_the_same_numbers_in_tables(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    given.a_credential(services, organisation)
    up_to_date(services)

    page = administrator.read(f"{url}/dashboard").text

    today = f"{datetime.now(UTC):%d %b}"
    assert f"<title>{today}: 1</title>" in page
    assert f'<th scope="row">{today}</th><td data-title="Number">1</td>' in page
    assert re.search(r'aria-label="Created: 1 in all', page)
    assert page.count('<svg class="chart') == 2  # nothing was rotated, revoked or verified, and an empty chart says so
    assert page.count("None.") == 3


def test_reports_count_what_their_lists_show(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    old = given.context(datetime.now(UTC) - timedelta(days=100))
    given.a_credential(services, organisation, name="Overdue", context=old)
    given.a_credential(services, organisation, name="Orphan", contact_email=None)
    up_to_date(services)

    page = administrator.read(f"{url}/reports").text
    figures = re.findall(r'href="([^"]+)"><span>([^<]+)</span></a>\s*<strong>([^<]+)<', page)

    assert [(title, count) for _, title, count in figures] == [
        ("Rotation overdue", "1"),
        ("Rotation due", "1"),
        ("Unused", "1"),
        ("Expiring", "0"),
        ("Without an owner", "1"),
    ]
    for address, title, count in figures:
        listed = administrator.read(address.replace("&amp;", "&"))
        assert listed.status_code == 200, title
        assert listed.text.count('<th scope="row">') == int(count), title
    assert "contact_email=dev%40example.com" in page or "contact_email=dev@example.com" in page


# --- operators --------------------------------------------------------------------------------------------------------


def test_an_operator_is_enrolled_given_other_roles_and_removed(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    path = f"{url}/settings/operators"
    made = administrator.fill_in(f"{path}/enrol", name="Grace", email="grace@example.com", roles=["auditor"])
    token = secret_on(made)
    stored = administrator.send(f"{path}/stored", hidden_of_stored(made))
    assert stored.headers["Location"] == f"{path}?done=enrolled"
    page = administrator.read(stored.headers["Location"]).text
    assert token not in page
    operator_id = re.search(rf"{path}/([\w-]+)/roles", page)
    assert operator_id is not None

    one = f"{path}/{operator_id[1]}"
    assert administrator.fill_in(f"{one}/roles", roles=[]).status_code == 422
    administrator.fill_in(f"{one}/roles", roles=["operator", "auditor"], production="true")
    row = find_operator(services.store, UUID(operator_id[1]))
    assert row is not None
    assert (set(row["roles"]), row["production"]) == ({"operator", "auditor"}, True)

    rotated = administrator.fill_in(f"{one}/rotate-token", overlap_seconds="3600")
    assert secret_on(rotated) != token
    assert administrator.fill_in(f"{one}/end-overlap").status_code == 303
    assert administrator.fill_in(f"{one}/remove", reason="left").status_code == 303
    assert "Removed" in administrator.read(path).text


def test_everyone_rotates_their_own_token_and_nobody_elses(
    services: Services, sign_in: SignIn, organisation: UUID, url: str
) -> None:
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    other, _ = given.an_operator(services, Role.VIEWER, organisation_id=organisation)
    path = f"{url}/settings/operators"
    offered = re.findall(rf'href="({path}/[\w-]+/rotate-token)"', auditor.read(path).text)

    assert len(offered) == 1
    assert secret_on(auditor.fill_in(offered[0], overlap_seconds="3600"))
    assert auditor.read(f"{path}/{other}/rotate-token").status_code == 403
    assert auditor.read(f"{path}/{other}/remove").status_code == 403


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_read_operators_finds_their_own_token_beside_their_name(
    sign_in: SignIn, organisation: UUID, url: str, role: Role
) -> None:
    reader = sign_in(role, organisation_id=organisation)
    assert f'<a href="{url}/you">' in reader.read(url).text
    [rotate] = re.findall(r'href="([^"]+/rotate-token)"', reader.read(f"{url}/you").text)
    assert f'<a class="button" href="{url}/you">Cancel</a>' in reader.read(rotate).text

    shown = reader.fill_in(rotate, overlap_seconds="3600")
    stored = reader.send(f"{url}/settings/operators/stored", hidden_of_stored(shown))
    assert stored.headers["Location"] == f"{url}/you?done=token_rotated"

    both = reader.read(f"{url}/you").text
    [retire] = re.findall(r'href="([^"]+/end-overlap)"', both)
    assert (both.count("••••••••"), both.count("Good until")) == (2, 1)
    assert re.findall(r"<option[^>]*>([^<]+)", reader.read(rotate).text) == ["End both old tokens at once"]
    assert reader.fill_in(retire).headers["Location"] == f"{url}/you?done=token_overlap_ended"
    assert reader.read(f"{url}/you").status_code == 303  # the older one had opened this session


def test_an_operator_of_all_organisations_finds_their_token_from_every_organisation(
    administrator: Reader, url: str
) -> None:
    for page in (url, "/console/organisations"):
        assert '<a href="/console/you">' in administrator.read(page).text
    you = administrator.read("/console/you").text
    assert "all organisations" in you
    assert re.search(r'href="/console/operators/[\w-]+/rotate-token"', you)


def test_tokens_that_ended_are_not_listed_and_none_is_offered_to_be_retired(
    administrator: Reader, services: Services, organisation: UUID, url: str
) -> None:
    path = f"{url}/settings/operators"
    operator, _ = given.an_operator(services, Role.VIEWER, organisation_id=organisation)
    administrator.fill_in(f"{path}/{operator}/rotate-token", overlap_seconds="3600")
    assert f"{path}/{operator}/end-overlap" in administrator.read(path).text

    administrator.fill_in(f"{path}/{operator}/end-overlap")

    listed = administrator.read(path).text
    assert f"{path}/{operator}/end-overlap" not in listed
    assert listed.count("<code>••••") == 1


def test_whoever_ends_their_own_token_by_rotating_it_is_told_to_sign_in_with_the_new_one(
    sign_in: SignIn, organisation: UUID, url: str
) -> None:
    administrator = sign_in(Role.ADMINISTRATOR, organisation_id=organisation)
    path = f"{url}/settings/operators"
    [own, *_] = re.findall(rf'href="({path}/[\w-]+/rotate-token)"', administrator.read(path).text)
    shown = administrator.fill_in(own, overlap_seconds="0")

    stored = administrator.send(f"{path}/stored", hidden_of_stored(shown))

    assert stored.status_code == 401
    assert "Stored. Sign in with the new token." in stored.text
    assert "Nothing was recorded" not in stored.text


def test_nobody_gives_the_grant_for_production_without_having_it(
    services: Services, sign_in: SignIn, organisation: UUID, url: str
) -> None:
    administrator = sign_in(Role.ADMINISTRATOR, organisation_id=organisation, production=False)
    enrol = f"{url}/settings/operators/enrol"
    assert re.search(r'name="production" value="true" disabled', administrator.read(enrol).text)
    head = services.log.head()

    refused = administrator.fill_in(enrol, name="Grace", roles=["viewer"], production="true")

    assert (refused.status_code, services.log.head()) == (403, head)
    assert "Giving the grant for production takes having it." in refused.text
    assert 'value="Grace"' in refused.text
    assert re.search(r'value="viewer" checked', refused.text)


def test_the_grant_for_production_stays_with_who_has_it_or_is_taken(
    services: Services, sign_in: SignIn, organisation: UUID, url: str
) -> None:
    administrator = sign_in(Role.ADMINISTRATOR, organisation_id=organisation, production=False)
    granted, _ = given.an_operator(services, Role.VIEWER, organisation_id=organisation, name="Grace")
    path = f"{url}/settings/operators"

    assert re.search(r'name="production" value="true" checked>', administrator.read(f"{path}/{granted}/roles").text)
    listed = administrator.read(path).text
    assert f'{path}/{granted}/roles"' in listed
    assert f'{path}/{granted}/rotate-token"' not in listed  # whoever rotates it holds the new one
    assert administrator.read(f"{path}/{granted}/rotate-token").status_code == 403
    assert administrator.fill_in(f"{path}/{granted}/roles", roles=["viewer", "auditor"]).status_code == 303
    assert f'{path}/{granted}/rotate-token"' in administrator.read(path).text


def test_an_operator_of_another_organisation_is_not_there(services: Services, administrator: Reader, url: str) -> None:
    elsewhere, _ = given.an_operator(services, organisation_id=given.an_organisation(services, "Other"))
    assert administrator.read(f"{url}/settings/operators/{elsewhere}/roles").status_code == 404


# --- webhooks ---------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_registered_edited_disabled_and_removed(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    path = f"{url}/settings/webhooks"
    assert administrator.fill_in(f"{path}/register", url="http://hooks.example.com/").status_code == 422
    made = administrator.fill_in(
        f"{path}/register", url="https://hooks.example.com/a", event_types=["credential.revoked"]
    )
    secret = re.search(r"whsec_[\w+/=]+", made.text)
    assert secret is not None
    [row] = list_webhook_endpoints(services.store, organisation, None, 2)
    endpoint = f"{path}/{row['endpoint_id']}"
    administrator.send(f"{endpoint}/stored", hidden_of_stored(made))
    assert secret[0] not in administrator.read(endpoint).text

    administrator.fill_in(f"{endpoint}/edit", url="https://hooks.example.com/b", description="", event_types=[])
    assert "whsec_" in administrator.fill_in(f"{endpoint}/rotate-secret", overlap_seconds="3600").text
    administrator.fill_in(f"{endpoint}/disable", reason="noisy")
    disabled = find_webhook_endpoint(services.store, organisation, row["endpoint_id"])
    assert disabled is not None
    assert (disabled["url"], disabled["event_types"], disabled["disabled_reason"]) == (
        "https://hooks.example.com/b",
        [],
        "noisy",
    )
    administrator.fill_in(f"{endpoint}/enable")
    administrator.fill_in(f"{endpoint}/remove")
    page = administrator.read(endpoint).text
    assert "Removed" in page
    assert f"{endpoint}/edit" not in page
    assert "No webhook endpoints yet" in administrator.read(path).text


def test_a_delivery_is_read_and_sent_again(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    endpoint_id = given.a_webhook_endpoint(services, organisation)
    credential_id = given.a_credential(services, organisation)[0].id
    delivery_id = given.a_webhook_delivery(services, organisation, endpoint_id, credential_id)
    services.store.rows("UPDATE webhook_delivery SET finished_at = now(), delivered = false RETURNING 1")
    endpoint = f"{url}/settings/webhooks/{endpoint_id}"
    delivery = f"{endpoint}/deliveries/{delivery_id}"
    assert delivery in administrator.read(f"{endpoint}?status=failed").text
    assert delivery not in administrator.read(f"{endpoint}?status=delivered").text
    assert administrator.read(f"{endpoint}?status=lost").status_code == 422

    again = administrator.send(f"{delivery}/replay", hidden_in(administrator, delivery))

    assert again.headers["Location"] == f"{delivery}?done=replayed"
    row = find_delivery(services.store, endpoint_id, delivery_id)
    assert row is not None
    assert row["finished_at"] is None


def hidden_in(reader: Reader, path: str) -> dict[str, str]:
    """What a page's buttons are sent with, which nobody types."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', reader.read(path).text)
    return dict(found)


def test_without_a_script_a_test_that_is_asked_for_twice_is_sent_once_whenever_the_first_was_sent(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    endpoint_id = given.a_webhook_endpoint(services, organisation)
    endpoint = f"{url}/settings/webhooks/{endpoint_id}"
    page = hidden_in(administrator, endpoint)

    first = administrator.send(f"{endpoint}/test", page)
    services.store.rows("UPDATE webhook_delivery SET finished_at = now(), attempts = 1 RETURNING 1")
    second = administrator.send(f"{endpoint}/test", page)
    later = administrator.send(f"{endpoint}/test", hidden_in(administrator, endpoint))

    assert (first.status_code, second.headers["Location"]) == (303, first.headers["Location"])
    assert later.headers["Location"] != first.headers["Location"]
    assert len(list_deliveries(services.store, endpoint_id).rows) == 2
    assert administrator.send(f"{endpoint}/test", {"csrf": page["csrf"]}).status_code == 422


def test_two_that_ask_for_the_same_test_at_once_are_given_the_same_delivery(
    services: Services, organisation: UUID
) -> None:
    endpoint_id = given.a_webhook_endpoint(services, organisation)
    together = threading.Barrier(4)

    def ask(_: int) -> UUID:
        together.wait()
        return queue_test(services.store, organisation, endpoint_id, datetime.now(UTC), "one page")

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1
    assert len(list_deliveries(services.store, endpoint_id).rows) == 1


def test_without_a_script_a_message_that_is_sent_again_twice_is_sent_once_whenever_the_first_was_sent(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    endpoint_id = given.a_webhook_endpoint(services, organisation)
    credential_id = given.a_credential(services, organisation)[0].id
    delivery_id = given.a_webhook_delivery(services, organisation, endpoint_id, credential_id)
    sent = "UPDATE webhook_delivery SET finished_at = now(), delivered = true, attempts = attempts + 1 RETURNING 1"
    services.store.rows(sent)
    delivery = f"{url}/settings/webhooks/{endpoint_id}/deliveries/{delivery_id}"
    page = hidden_in(administrator, delivery)

    assert administrator.send(f"{delivery}/replay", page).headers["Location"].endswith("done=replayed")
    services.store.rows(sent)
    second = administrator.send(f"{delivery}/replay", page)

    assert second.headers["Location"] == f"{delivery}?done=replayed_meanwhile"
    row = find_delivery(services.store, endpoint_id, delivery_id)
    assert row is not None
    assert row["finished_at"] is not None
    elsewhere = f"{delivery.rpartition('/')[0]}/{organisation}"
    assert administrator.send(f"{elsewhere}/replay", page).status_code == 404


# --- bulk revocation --------------------------------------------------------------------------------------------------


def look(reader: Reader, url: str, **typed: object) -> TestResponse:
    """The dry run of a selection."""
    return reader.fill_in(f"{url}/bulk-revocations/new", revocation_reason="owner_left", **typed)


def test_a_dry_run_touches_nothing_and_its_digest_confirms_just_what_it_showed(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    theirs = given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))[0].id
    others = given.a_credential(services, organisation)[0].id
    head = services.log.head()

    looked = look(administrator, url, contact_email="ada@example.com", reason="HR-2041")
    assert "1 credential would be revoked" in looked.text
    assert (str(theirs) in looked.text, str(others) in looked.text) == (True, False)
    assert services.log.head() == head

    started = administrator.send(f"{url}/bulk-revocations/new", hidden_of(looked))
    [run] = list_bulk_revocations(services.store, organisation).rows
    assert started.headers["Location"] == f"{url}/bulk-revocations/{run['run_id']}?done=run_started"
    assert "Running" in administrator.read(started.headers["Location"]).text
    while sweep_bulk_revocations(services):
        pass
    finished = administrator.read(f"{url}/bulk-revocations/{run['run_id']}").text
    assert "1 revoked, 0 to go, of 1." in finished
    assert "Look again" not in finished
    row = find_credential(services.store, organisation, others)
    assert row is not None
    assert row["revoked_at"] is None


def test_a_dry_run_tells_which_identifiers_are_not_among_what_would_be_revoked(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    account = given.an_account(services, organisation)
    login = {"kind": Kind.CHANNEL_LOGIN, "channel": Channel.FTP, "account_id": account, "login": "Acme-Nightly"}
    given.a_credential(services, organisation, **login)
    good = find_credential(services.store, organisation, given.a_credential(services, organisation)[0].id)
    assert good is not None

    page = look(administrator, url, public_ids=f"{good['public_id']}\nACME-nightly\nnobody's\nnobody's").text
    all_there = look(administrator, url, public_ids=good["public_id"]).text

    assert "2 credentials would be revoked" in page
    assert "1 of the identifiers names nothing that would be revoked" in page
    assert page.count("<code><bdi>nobody&#39;s</bdi></code>") == 1
    assert "nothing that would be revoked" not in all_there


def test_credentials_are_chosen_by_a_label_that_they_have(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    theirs = given.a_credential(services, organisation, labels={"team": "payments"})[0].id
    others = given.a_credential(services, organisation, labels={"team": "tickets"})[0].id

    looked = look(administrator, url, label=" team=payments", reason="HR-2041")
    assert (str(theirs) in looked.text, str(others) in looked.text) == (True, False)
    assert "Because: owner left, “<bdi>HR-2041</bdi>”" in looked.text
    started = administrator.send(f"{url}/bulk-revocations/new", hidden_of(looked))
    assert "label team=payments" in administrator.read(started.headers["Location"]).text
    for wrong in ("team", "=payments"):
        refused = look(administrator, url, label=wrong)
        assert (refused.status_code, 'id="label-error"' in refused.text) == (422, True)
        assert f'value="{wrong}"' in refused.text


def test_what_changed_since_the_dry_run_is_shown_anew_and_not_revoked(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))
    looked = look(administrator, url, contact_email="ada@example.com")
    given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))
    head = services.log.head()

    refused = administrator.send(f"{url}/bulk-revocations/new", hidden_of(looked))

    assert (refused.status_code, services.log.head()) == (409, head)
    assert "2 credentials would be revoked" in refused.text


@pytest.mark.parametrize(
    "typed", [{}, {"contact_email": "nobody"}, {"application_id": "x"}, {"public_ids": "a\n\nb c"}]
)
def test_a_selection_that_is_none_is_refused_and_kept(
    services: Services, administrator: Reader, url: str, typed: dict[str, str]
) -> None:
    head = services.log.head()
    refused = look(administrator, url, **typed)
    assert (refused.status_code, services.log.head()) == (422, head)
    assert "Nothing was recorded" in refused.text


def test_live_credentials_are_revoked_in_bulk_only_with_the_grant(
    services: Services, sign_in: SignIn, organisation: UUID, url: str
) -> None:
    operator = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    given.a_credential(services, organisation, mode=Mode.LIVE)
    assert look(operator, url, contact_email="dev@example.com").status_code == 403


# --- the past ---------------------------------------------------------------------------------------------------------


def test_a_credential_is_shown_as_it_was_with_what_changed_since(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    made = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    credential_id = given.a_credential(services, organisation, context=given.context(made), name="Before")[0].id
    credential = f"{url}/credentials/{credential_id}"
    administrator.fill_in(f"{credential}/edit", name="After", contact_email="dev@example.com")
    assert f"{credential}/as-of" in administrator.read(credential).text

    then = administrator.read(f"{credential}/as-of?as_of=2026-03-02T00:00:00").text

    assert re.search(r'<tr class="changed"><th scope="row">Name <small>changed since</small></th>', then)
    for when, name in (("Then", "Before"), ("Now", "After")):
        assert f'<td data-title="{when}"><div><bdi>{name}</bdi></div></td>' in then
    assert set(re.findall(r'<tr class="changed"><th scope="row">([^<]+) <', then)) == {"Name", "Version"}
    assert not re.search(SECRET_PATTERN, then)
    assert f'href="{credential}/as-of?version=3"' in then  # the next one
    assert administrator.read(f"{credential}/as-of?version=2").status_code == 200
    for wrong, status in (
        ("as_of=2026-02-01T00:00", 404),
        ("as_of=2999-01-01T00:00", 422),
        ("as_of=then", 422),
        ("version=99", 404),
    ):
        assert administrator.read(f"{credential}/as-of?{wrong}").status_code == status, wrong


# --- proofs -----------------------------------------------------------------------------------------------------------


def test_verify_in_the_moment_before_an_event_is_sealed_looks_again_by_itself(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    given.sealed(services)
    credential_id = given.a_credential(services, organisation)[0].id
    address = f"{url}/proofs/{credential_id}/1"

    early = administrator.read(address)
    given.sealed(services)
    looked = administrator.read(f"{address}?looks=1", **{"HX-Request": "true"})

    assert (early.status_code, "as soon as it is in a signed checkpoint" in early.text) == (200, True)
    assert f'hx-get="{address}?looks=1" hx-trigger="load delay:2s"' in early.text
    assert f'href="{address}">Look again</a>' in early.text
    assert f'href="{url}/credentials/{credential_id}">' in early.text
    assert (looked.status_code, looked.headers["HX-Redirect"]) == (204, address)
    assert "The log holds this event" in administrator.read(address).text


def test_the_proof_of_what_happened_to_another_thing_leads_back_to_its_activity(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    account_id = given.an_account(services, organisation)
    given.sealed(services)

    page = administrator.read(f"{url}/proofs/{account_id}/1").text

    assert "The log holds this event" in page
    assert f'href="{url}/activity?aggregate_id={account_id}"' in page
    assert f"/credentials/{account_id}" not in page


def test_verify_shows_the_way_from_an_event_to_the_root_that_was_signed(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    credential_id = [given.a_credential(services, organisation)[0].id for _ in range(3)][1]
    path = f"{url}/proofs/{credential_id}/2"
    assert path in administrator.read(f"{url}/credentials/{credential_id}").text
    assert administrator.read(f"{path}/file").status_code == 503  # not sealed yet
    given.sealed(services)

    page = administrator.read(path).text

    assert "The log holds this event." in page
    assert f"&#34;aggregate&#34;:&#34;{credential_id}&#34;" in page
    signed = re.search(r"Its root is <code>(\w{64})</code>: the same as the last step", page)
    assert signed is not None
    assert page.count(f"<code>{signed[1]}</code>") == 2  # the last step's, and the checkpoint's
    file = administrator.read(f"{path}/file")
    assert file.headers["Content-Disposition"] == f'attachment; filename="{credential_id}-2.tlog-proof"'
    assert file.text.startswith("c2sp.org/tlog-proof@v1")
    assert administrator.read(f"{url}/proofs/{credential_id}/9").status_code == 404


@pytest.mark.usefixtures("within_a_day")
def test_verifications_are_counted_by_answer(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    credential_id = given.a_credential(services, organisation)[0].id
    usage, at = UsageRecorder(services.store, 60), datetime.now(UTC)
    for code, often, days in ((Code.VALID, 40, 0), (Code.EXPIRED, 2, DAYS - 1), (Code.VALID, 1000, DAYS)):
        for _ in range(often):
            usage.note(credential_id, 1, at - timedelta(days=days), None, code)
    usage.flush()

    page = administrator.read(f"{url}/dashboard").text

    assert "<title>Valid: 40</title>" in page
    assert "<title>Expired: 2</title>" in page
    assert re.findall(r'<text class="begin" x="0" y="(\d+)">(\w+)<', page) == [("22", "Valid"), ("70", "Expired")]


def test_a_list_that_is_refused_stays_and_says_why(
    services: Services, sign_in: SignIn, organisation: UUID, url: str
) -> None:
    viewer = sign_in(Role.VIEWER, organisation_id=organisation)
    asking = {"HX-Request": "true", "HX-Target": "results"}

    refused = viewer.read(f"{url}/credentials?as_of=2026-01-01T00:00:00Z", **asking)

    assert (refused.status_code, refused.headers["HX-Retarget"]) == (403, "main > [data-notice]")
    assert 'role="alert"' in refused.text
