"""What auditors and owners do in the console, without JavaScript: exports, reviews, before and after, erasure."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html import unescape
from uuid import UUID

import pytest

from api.app import create_app
from api.bulk_revoking import sweep_bulk_revocations
from api.wiring import Services
from ledger.commands import DescribeCredential, RevokeCredential, SuspendCredential
from ledger.issuing import issue_rotation
from ledger.service import EXPORT
from ledger.values import EmailAddress, Kind, Label, RevocationReason, Role
from projections.credential_status import find_credential
from projections.operator_status import find_operator
from projections.organisation_status import find_organisation
from projections.readings import ReadingRecorder, list_readings
from projections.webhook_delivery import list_deliveries
from tests import given
from tests.console.conftest import Reader, SignIn
from tests.waiting import until_caught_up

pytestmark = pytest.mark.usefixtures("projector")


@pytest.fixture
def url(organisation: UUID) -> str:
    """Where the organisation's pages are."""
    return f"/console/organisations/{organisation}"


def up_to_date(services: Services) -> None:
    """Every view has what was recorded by now."""
    until_caught_up(services)


def revoke(services: Services, credential_id: UUID) -> None:
    services.ledger.handle(
        RevokeCredential(
            context=given.context(reason="no longer used"),
            credential_id=credential_id,
            revocation_reason=RevocationReason.NO_LONGER_USED,
        )
    )


# --- exports ----------------------------------------------------------------------------------------------------------


def test_an_export_is_asked_for_followed_fetched_and_told_of_by_its_manifest(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    given.a_credential(services, organisation)
    asked = administrator.fill_in(
        f"{url}/exports/ask",
        **{"format": "csv", "from": "2026-01-01", "to": "2026-12-31", "topics": ["credential", "account.opened"]},
        reason="audit of 2026",
    )
    address = asked.headers["Location"]
    export_id = UUID(re.findall(r"/exports/([\w-]+)\?", address)[0])
    assert address == f"{url}/exports/{export_id}?format=csv&done=export_requested"
    state = services.ledger.load(EXPORT, export_id)
    assert (state.begin, state.end) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert (state.topics, state.personal) == (("account.opened", "credential"), False)

    early = administrator.read(address).text
    assert "Sealing" in early
    assert f"{export_id}/file" not in early
    assert administrator.read(f"{url}/exports/{export_id}/file?format=csv").status_code == 503

    given.sealed(services)
    ready = administrator.read(address).text
    links = [unescape(link) for link in re.findall(r'href="([^"]+/file\?format=\w+)"', ready)]
    assert links[0].endswith("format=csv")  # what was asked for comes first
    assert {link.rpartition("=")[2] for link in links} == {"bundle", "csv", "parquet", "ocsf"}
    fetched = administrator.read(links[0])
    assert fetched.headers["Content-Disposition"].startswith("attachment")
    assert "credential.created" in fetched.text

    told = administrator.read(address).text
    assert sha256(fetched.data).hexdigest() in told
    assert "Fetched whole" in told
    up_to_date(services)
    listed = administrator.read(f"{url}/exports").text
    assert "audit of 2026" in listed
    assert "Ready" in listed


@pytest.mark.parametrize(
    ("typed", "beside"),
    [
        ({"reason": ""}, "reason"),
        ({"credential_ids": "not an id"}, "credential_ids"),
        ({"topics": ["weather"]}, "topics"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "to"),
        ({"from": "soon"}, "from"),
        ({"to": "9999-12-31"}, "to"),
    ],
)
def test_a_wish_that_could_not_be_meant_is_refused_beside_its_field_and_kept(
    services: Services, administrator: Reader, url: str, typed: dict[str, object], beside: str
) -> None:
    head = services.log.head()
    refused = administrator.fill_in(f"{url}/exports/ask", **{"format": "ocsf", "reason": "to the SIEM", **typed})

    assert refused.status_code == 422
    assert f'id="{beside}-error"' in refused.text
    assert re.search(r'value="ocsf" checked', refused.text)
    assert services.log.head() == head


def test_a_page_asks_again_only_while_something_is_on_its_way_and_not_for_ever(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    export_id = given.an_export(services, organisation)
    up_to_date(services)
    one = f"{url}/exports/{export_id}"
    run_id = given.a_bulk_revocation(services, organisation, given.a_credential(services, organisation)[0].id)
    run = f"{url}/bulk-revocations/{run_id}"
    up_to_date(services)
    for path in (f"{url}/exports", one, run):
        page = administrator.read(f"{path}?looks=149").text
        assert f'hx-get="{path}?looks=150" hx-trigger="load delay:2s' in page
        assert f'<a href="{path}">Look again</a>' in page  # for whoever has no script
        assert "load delay" not in administrator.read(f"{path}?looks=150").text
    given.sealed(services)
    while sweep_bulk_revocations(services):
        pass
    for path in (f"{url}/exports", one, run):
        assert "load delay" not in administrator.read(path).text


def test_who_may_take_nothing_out_is_offered_nothing_and_refused(
    services: Services, sign_in: SignIn, organisation: UUID, url: str
) -> None:
    export_id, review_id = given.an_export(services, organisation), given.an_access_review(services, organisation)
    operator = sign_in(Role.OPERATOR, organisation_id=organisation)
    assert ">Audit<" not in operator.read(url).text
    for path in ("exports", "exports/ask", f"exports/{export_id}", f"exports/{export_id}/file"):
        assert operator.read(f"{url}/{path}").status_code == 403, path
    for path in ("access-reviews", "access-reviews/ask", f"access-reviews/{review_id}"):
        assert operator.read(f"{url}/{path}").status_code == 403, path
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    assert f'href="{url}/exports"' in auditor.read(f"{url}/access-reviews").text


def test_without_the_grant_for_production_there_are_reviews_but_no_exports(
    services: Services, organisation: UUID, url: str
) -> None:
    settings = replace(services.settings, production_hints="granted")
    client = create_app(replace(services, settings=settings)).test_client()
    _, token = given.an_operator(services, Role.AUDITOR, organisation_id=organisation, production=False)
    auditor = Reader(client)
    auditor.sign_in(token)

    assert f'href="{url}/exports"' not in auditor.read(f"{url}/access-reviews").text
    assert auditor.read(f"{url}/exports").status_code == 403


def test_what_an_export_is_of_and_what_is_in_it_is_told_in_words(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    ids = [given.a_credential(services, organisation)[0].id for _ in range(2)]
    asked = administrator.fill_in(
        f"{url}/exports/ask",
        format="csv",
        topics=["account", "credential.created", "credential.whitelisted"],
        credential_ids="\n".join(map(str, ids)),
        reason="audit",
    )
    given.sealed(services)
    address = asked.headers["Location"].partition("?")[0]
    assert administrator.read(f"{address}/file?format=csv").status_code == 200
    up_to_date(services)

    told, listed = administrator.read(address).text, administrator.read(f"{url}/exports").text

    for page in (told, listed):
        assert "Account, Credential created, Credential allowlist set" in page
        assert "credential.created" not in page
    assert "<dt>Credential created</dt><dd>2</dd>" in told
    assert "of 2 chosen ids" in listed
    ask = administrator.read(f"{url}/exports/ask").text
    assert 'value="credential.whitelisted">Credential allowlist set</label>' in ask


@pytest.mark.parametrize(
    ("page", "offered"),
    [
        ("exports", "exports/ask"),
        ("access-reviews", "access-reviews/ask"),
        ("settings/webhooks", "settings/webhooks/register"),
    ],
)
def test_an_empty_list_offers_its_first_one(administrator: Reader, url: str, page: str, offered: str) -> None:
    empty = administrator.read(f"{url}/{page}").text.partition('<section class="empty">')[2]
    assert f'href="{url}/{offered}"' in empty


def test_who_acted_without_being_an_operator_is_told_in_words(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    at_the_shell = given.context(actor="command_line:root", reason="INC-7")
    credential_id = given.a_credential(services, organisation, context=at_the_shell)[0].id
    up_to_date(services)

    for page in (url, f"{url}/activity", f"{url}/credentials/{credential_id}"):
        text = administrator.read(page).text
        assert "root, at the command line" in text, page
        assert ">command_line:root" not in text, page
        assert "through the command line" not in text, page


# --- who read what ----------------------------------------------------------------------------------------------------


def test_the_activity_that_an_overview_shows_is_noted_for_whoever_sees_it(
    services: Services, organisation: UUID, url: str
) -> None:
    readings = ReadingRecorder(services.store, 60)
    app = create_app(replace(services, readings=readings))
    for role in (Role.AUDITOR, Role.VIEWER):
        _, token = given.an_operator(services, role, organisation_id=organisation)
        reader = Reader(app.test_client())
        reader.sign_in(token)
        assert reader.read(url).status_code == 200
    readings.flush()
    noted = list_readings(services.store, organisation).rows
    assert [(one["what"], one["roles"], one["via"]) for one in noted] == [(["activity"], ["auditor"], "console")]


@pytest.mark.parametrize("page", ["settings/operators", "you"])
def test_hints_of_tokens_that_a_page_shows_are_noted(
    services: Services, organisation: UUID, url: str, page: str
) -> None:
    readings = ReadingRecorder(services.store, 60)
    _, token = given.an_operator(services, Role.AUDITOR, organisation_id=organisation)
    reader = Reader(create_app(replace(services, readings=readings)).test_client())
    reader.sign_in(token)
    assert reader.read(f"{url}/{page}").status_code == 200
    readings.flush()
    assert [one["what"] for one in list_readings(services.store, organisation).rows] == [["hint"]]


# --- access reviews ---------------------------------------------------------------------------------------------------


def test_a_review_shows_who_had_what_then_and_its_files_hold_all_of_it(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    long_ago = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    kept = given.a_credential(services, organisation, name="Billing", context=given.context(long_ago))[0].id
    ended = given.a_credential(services, organisation, name="Tickets", context=given.context(long_ago))[0].id
    services.ledger.handle(DescribeCredential(context=given.context(), credential_id=kept, name=Label("Payments")))
    revoke(services, ended)
    given.a_credential(services, organisation, name="Newer")
    up_to_date(services)

    asked = administrator.fill_in(f"{url}/access-reviews/ask", as_of="2026-03-02T00:00", reason="first quarter")
    address = asked.headers["Location"].partition("?")[0]
    page = administrator.read(address).text

    names = re.findall(r'<th scope="row"><a href="[^"]+"><bdi>([^<]+)</bdi></a>', page)
    assert sorted(names) == ["Billing", "Tickets"]
    assert page.count("badge-active") == 2
    link = unescape(re.findall(r'<th scope="row"><a href="([^"]+)"><bdi>Billing', page)[0])
    assert "Billing" in administrator.read(link).text
    filtered = administrator.read(f"{address}?q=tick").text
    assert "Tickets" in filtered
    assert "Billing" not in filtered
    assert "Nothing found" in administrator.read(f"{address}?status=revoked").text
    assert administrator.read(f"{address}?status=gone").status_code == 422

    csv = administrator.read(f"{address}/file?format=csv")
    assert csv.headers["Content-Disposition"].startswith("attachment")
    assert len(csv.text.splitlines()) == 3
    printed = administrator.read(f"{address}/print")
    assert "Content-Disposition" not in printed.headers
    assert "default-src 'none'; style-src 'sha256-" in printed.headers["Content-Security-Policy"]
    assert administrator.read(f"{address}/file?format=odt").status_code == 422
    up_to_date(services)
    assert "first quarter" in administrator.read(f"{url}/access-reviews").text


@pytest.mark.parametrize("typed", [{"as_of": "2999-01-01T00:00"}, {"as_of": "then"}, {"reason": ""}])
def test_a_review_of_no_past_moment_or_without_a_reason_is_refused_beside_its_field(
    services: Services, administrator: Reader, url: str, typed: dict[str, str]
) -> None:
    head = services.log.head()
    refused = administrator.fill_in(f"{url}/access-reviews/ask", **{"reason": "audit", **typed})

    assert refused.status_code == 422
    assert f'id="{next(iter(typed))}-error"' in refused.text
    assert services.log.head() == head


# --- before and after -------------------------------------------------------------------------------------------------


def changes_in(page: str, what: str) -> dict[str, tuple[str, str]]:
    """What an event of a timeline changed, as its table reads: before and after by field."""
    [step] = [one for one in page.split("<li><h3>")[1:] if one.startswith(what)]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td></tr>', step, re.DOTALL)
    return {field: (_words(before), _words(after)) for field, before, after in rows}


def _words(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def test_each_event_of_a_history_tells_what_was_before_and_after(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    credential_id = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT, name="Billing")[0].id
    page = f"{url}/credentials/{credential_id}"
    administrator.fill_in(f"{page}/edit", name="Payments", contact_email="ada@example.com", description="")
    administrator.fill_in(f"{page}/suspend", reason="INC-7")

    shown = administrator.read(page).text

    described = changes_in(shown, "Described")
    assert described["Name"] == ("Billing", "Payments")
    assert described["Contact email"] == ("dev@example.com", "ada@example.com")
    assert changes_in(shown, "Suspended")["Status"] == ("Active", "Suspended")
    assert changes_in(shown, "Created") == {}


def test_what_time_alone_changed_is_not_told_of_an_event(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    credential_id = given.a_credential(services, organisation, context=given.context(at))[0].id
    row = find_credential(services.store, organisation, credential_id) or {}
    later, overlap = given.context(at + timedelta(hours=1)), timedelta(hours=1)
    rotation, _ = issue_rotation(services.keyring.digests, later, row, overlap=overlap)
    services.ledger.handle(rotation)
    services.ledger.handle(
        SuspendCredential(context=given.context(at + timedelta(days=1)), credential_id=credential_id)
    )

    shown = administrator.read(f"{url}/credentials/{credential_id}").text

    assert changes_in(shown, "Rotated")["Status"] == ("Active", "Rotating")
    assert changes_in(shown, "Suspended")["Status"] == ("Active", "Suspended")  # the overlap had ended by itself


# --- organisations ----------------------------------------------------------------------------------------------------


def test_an_organisation_is_registered_and_renamed(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    assert administrator.fill_in("/console/organisations/register", name=" ").status_code == 422
    made = administrator.fill_in("/console/organisations/register", name="Fernway", reason="signed up")
    made_id = UUID(re.findall(r"/organisations/([\w-]+)\?", made.headers["Location"])[0])
    assert "Fernway" in administrator.read(made.headers["Location"]).text

    path = f"/console/organisations/{made_id}/settings/rename"
    first, second = administrator.hidden(path), administrator.hidden(path)
    assert administrator.send(path, first | {"name": "Fernway Railways"}).status_code == 303
    stale = administrator.send(path, second | {"name": "Fernway Ltd"})
    assert (stale.status_code, "changed this since" in stale.text) == (412, True)
    row = find_organisation(services.store, made_id)
    assert row is not None
    assert row["name"] == "Fernway Railways"


def test_only_administrators_rename_and_only_those_of_all_organisations_register(
    sign_in: SignIn, organisation: UUID, url: str
) -> None:
    owner = sign_in(Role.ADMINISTRATOR, organisation_id=organisation)
    assert owner.fill_in(f"{url}/settings/rename", name="Acme Ltd").status_code == 303
    assert owner.read("/console/organisations/register").status_code == 403
    assert "organisations/register" not in owner.read("/console/organisations").text
    operator = sign_in(Role.OPERATOR, organisation_id=organisation)
    assert operator.read(f"{url}/settings/rename").status_code == 403
    assert "settings/rename" not in operator.read(f"{url}/settings").text


# --- erasure ----------------------------------------------------------------------------------------------------------


def test_personal_data_is_erased_once_the_identifier_was_typed(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    credential_id = given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))[0].id
    page = f"{url}/credentials/{credential_id}"
    assert f"{page}/erase" not in administrator.read(page).text
    revoke(services, credential_id)
    assert f'href="{page}/erase"' in administrator.read(page).text
    public_id = (find_credential(services.store, organisation, credential_id) or {})["public_id"]

    head = services.log.head()
    for typed in ("", public_id[:-1], "ada@example.com"):
        refused = administrator.fill_in(f"{page}/erase", reason="asked to", confirmation=typed)
        assert (refused.status_code, 'id="confirmation-error"' in refused.text) == (422, True), typed
    assert services.log.head() == head

    erased = administrator.fill_in(f"{page}/erase", reason="asked to", confirmation=public_id)
    assert erased.headers["Location"] == f"{page}?done=erased"
    shown = administrator.read(page).text
    assert "ada@example.com" not in shown
    assert "Its personal data was erased" in shown
    assert "from any address" not in shown
    assert "nobody" not in shown
    past = administrator.read(f"{page}/as-of?version=1").text
    assert "ada@example.com" not in past
    assert len(re.findall(r"<div>erased</div>", past)) == 4, "the email and the allowlist, then and now"
    assert f"{page}/erase" not in shown
    again = administrator.read(f"{page}/erase").text
    assert "There is nothing left to erase" in again
    assert "To confirm, type" not in again


def test_what_is_still_good_is_not_erased(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    credential_id = given.a_credential(services, organisation)[0].id
    public_id = (find_credential(services.store, organisation, credential_id) or {})["public_id"]
    path = f"{url}/credentials/{credential_id}/erase"
    assert administrator.fill_in(path, confirmation=public_id).status_code == 409


def test_an_operator_is_erased_after_its_removal_once_its_name_was_typed(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    operator_id = given.an_operator(services, organisation_id=organisation, name="Grace Hopper")[0]
    path = f"{url}/settings/operators"
    one = f"{path}/{operator_id}"
    assert f"{one}/erase" not in administrator.read(path).text
    administrator.fill_in(f"{one}/remove")
    assert f'href="{one}/erase"' in administrator.read(path).text

    assert administrator.fill_in(f"{one}/erase", confirmation="Grace").status_code == 422
    assert administrator.fill_in(f"{one}/erase", confirmation="Grace Hopper").status_code == 303
    row = find_operator(services.store, operator_id)
    assert row is not None
    assert row["erased_at"] is not None
    listed = administrator.read(path).text
    assert "Grace" not in listed
    assert f"{one}/erase" not in listed


def test_what_an_erased_operator_did_is_told_by_its_id(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    erased = given.an_erased_operator(services, organisation)
    up_to_date(services)

    feed = administrator.read(f"{url}/activity?actor=operator:{erased}").text

    [did] = re.findall(r"<li><h2>(.*?)</li>", feed, re.DOTALL)
    assert f"<bdi>erased operator {erased}</bdi></a>" in did
    assert f"By <bdi>erased operator {erased}</bdi>" in feed
    assert f"erased operator {erased}" in administrator.read(url).text


# --- webhooks ---------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_tried_by_a_button_as_long_as_it_is_enabled(
    services: Services, administrator: Reader, organisation: UUID, url: str
) -> None:
    endpoint_id = given.a_webhook_endpoint(services, organisation)
    path = f"{url}/settings/webhooks/{endpoint_id}"
    page = administrator.read(path).text
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert f'action="{path}/test"' in page

    sent = administrator.send(f"{path}/test", hidden)

    [row] = list_deliveries(services.store, endpoint_id).rows
    assert sent.headers["Location"] == f"{path}/deliveries/{row['delivery_id']}?done=test_sent"
    shown = administrator.read(sent.headers["Location"]).text
    assert "webhook.test" in shown
    assert "/credentials/" not in shown.partition("<main")[2]
    administrator.fill_in(f"{path}/disable")
    assert f"{path}/test" not in administrator.read(path).text


def test_an_address_cannot_be_made_to_lead_elsewhere(administrator: Reader, url: str) -> None:
    page = administrator.read(f"{url}/activity?cursor=x&_scheme=javascript&_external=1&_anchor=a").text
    links = re.findall(r'(?:href|hx-get)="([^"]+)"', page)
    assert links
    assert all(link.startswith(("/", "#")) for link in links)
