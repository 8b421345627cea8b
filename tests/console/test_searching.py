"""Finding anything, the list as of a date, and the operators of all organisations, without JavaScript."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.values import EmailAddress, Name, Reference, RevocationReason, Role
from tests import given
from tests.console.conftest import Reader, SignIn
from tests.console.test_credentials import secret_on
from tests.waiting import until_caught_up

pytestmark = pytest.mark.usefixtures("projector")


@pytest.fixture
def url(organisation: UUID) -> str:
    """Where the organisation's pages are."""
    return f"/console/organisations/{organisation}"


def found(reader: Reader, path: str, q: object) -> dict[str, list[str]]:
    """What a search shows, by its kind."""
    page = reader.client.get(path, query_string={"q": str(q)})
    assert page.status_code == 200, page.text
    sections = re.findall(r'<h2 id="found-\d+">([^<]+)</h2>(.*?)</section>', page.text, re.DOTALL)
    return {title: re.findall(r'<li><div><a href="[^"]+"><bdi>([^<]+)</bdi></a>', hits) for title, hits in sections}


@pytest.fixture
def night(services: Services, organisation: UUID) -> UUID:
    """One of each kind that is called alike; the credential's id."""
    credential = given.a_credential(
        services, organisation, name="Night files", contact_email=EmailAddress("owl@example.com")
    )[0]
    given.an_application(services, organisation)
    given.an_account(services, organisation, name=Name("Nightingale"), reference=Reference("N-17"))
    given.an_operator(services, Role.VIEWER, organisation_id=organisation, name="Nightwatch")
    given.an_operator(services, Role.VIEWER, name="Nightwatch of all")
    given.an_organisation(services, "Night Railways")
    until_caught_up(services, "credential_list")
    return credential.id


def test_one_box_finds_all_kinds_of_things(administrator: Reader, night: UUID, url: str) -> None:
    assert found(administrator, f"{url}/search", "night") == {
        "Credentials": ["Night files"],
        "Accounts": ["Nightingale"],
        "Operators": ["Nightwatch"],
        "Organisations": ["Night Railways"],
    }
    assert found(administrator, f"{url}/search", "ledger sync") == {"Apps": ["Ledger sync"]}
    assert found(administrator, f"{url}/search", "OWL@example") == {"Credentials": ["Night files"]}
    assert found(administrator, f"{url}/search", "n-17") == {"Accounts": ["Nightingale"]}
    assert found(administrator, f"{url}/search", night) == {"Credentials": ["Night files"]}
    assert found(administrator, f"{url}/search", uuid4()) == {}
    assert found(administrator, "/console/search", "night") == {
        "Operators": ["Nightwatch", "Nightwatch of all"],
        "Organisations": ["Night Railways"],
    }


def test_everybody_finds_what_they_may_see(
    sign_in: SignIn, services: Services, night: UUID, organisation: UUID, url: str
) -> None:
    elsewhere = given.a_credential(services, given.an_organisation(services), name="Night secrets")[0]
    until_caught_up(services, "credential_list")
    of_one = {"Credentials": ["Night files"], "Accounts": ["Nightingale"]}

    viewer = sign_in(Role.VIEWER, organisation_id=organisation)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)

    assert found(viewer, f"{url}/search", "night") == of_one
    assert found(auditor, f"{url}/search", "night") == of_one | {"Operators": ["Nightwatch"]}
    assert found(viewer, f"{url}/search", elsewhere.id) == {}
    assert viewer.read("/console/search?q=night").status_code == 403


def test_many_are_a_list_away(administrator: Reader, services: Services, organisation: UUID, url: str) -> None:
    for number in range(6):
        given.a_credential(services, organisation, name=f"Files {number}")
    until_caught_up(services, "credential_list")

    page = administrator.read(f"{url}/search?q=files").text

    assert page.count("<li><div><a") == 5
    assert f'<a href="{url}/credentials?q=files">Show all' in page
    assert "Nothing found" in administrator.read(f"{url}/search?q=elephants").text
    assert "as far as you may see them" in administrator.read(f"{url}/search").text


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("credentials?q=" + "x" * 201, "Search: Type 200 characters at most."),
        ("credentials?status=gone", "Status: Choose one of these."),
        ("credentials?account=acme", "Account: Type an id as it is shown here, such as"),
        ("credentials?limit=many", "Limit: Type a whole number."),
        ("activity?topic=gone", "Topic: Choose one of these."),
        ("activity?since=someday", "Choose a date and a time."),
    ],
)
def test_what_a_list_cannot_be_asked_is_said_in_words_for_people(
    administrator: Reader, url: str, asked: str, told: str
) -> None:
    answer = administrator.read(f"{url}/{asked}")
    assert (answer.status_code, told in answer.text) == (422, True)


@pytest.mark.parametrize("q", ["x" * 201, "a\0b", "---", "a " * 17])
def test_what_cannot_be_searched_for_is_said(administrator: Reader, organisation: UUID, url: str, q: str) -> None:
    answer = administrator.client.get(f"{url}/search", query_string={"q": q})
    assert (answer.status_code, 'class="error" role="alert"' in answer.text) == (422, True)


# --- as of ------------------------------------------------------------------------------------------------------------


def test_the_list_is_shown_as_of_a_time(
    administrator: Reader, services: Services, organisation: UUID, url: str
) -> None:
    long_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(days=40)
    old = given.a_credential(services, organisation, name="Old", context=given.context(long_ago))[0].id
    revoked = RevokeCredential(
        context=given.context(long_ago + timedelta(days=20)),
        credential_id=old,
        revocation_reason=RevocationReason.UNSPECIFIED,
        effective_at=None,
    )
    services.ledger.handle(revoked)
    given.a_credential(services, organisation, name="New")
    until_caught_up(services, "credential_list")

    def listed(as_of: datetime) -> list[tuple[str, str]]:
        page = administrator.read(f"{url}/credentials?as_of={as_of:%Y-%m-%dT%H:%M}")
        assert page.status_code == 200
        assert "Show them as they are" in page.text
        row = r'<tr>\s*<th scope="row"><a href="[^"]+"><bdi>([^<]+)</bdi></a>.*?badge-(\w+)'
        return re.findall(row, page.text, re.DOTALL)

    assert listed(long_ago - timedelta(days=1)) == []
    assert listed(long_ago + timedelta(days=1)) == [("Old", "active")]
    assert listed(long_ago + timedelta(days=21)) == [("Old", "revoked")]
    then = f"{long_ago + timedelta(days=1):%Y-%m-%dT%H:%M}"
    link = re.search(r'<th scope="row"><a href="([^"]+)"', administrator.read(f"{url}/credentials?as_of={then}").text)
    assert link is not None
    was = administrator.read(link[1].replace("&amp;", "&"))
    assert (was.status_code, "changed since" in was.text) == (200, True)
    assert administrator.read(f"{url}/credentials?as_of={then}&status=revoked").text.count('<th scope="row">') == 0


@pytest.mark.parametrize("as_of", ["soon", "2999-01-01T00:00", "2026-01-01T00:00&unused_since=2026-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_asked_about_is_refused(administrator: Reader, url: str, as_of: str) -> None:
    answer = administrator.read(f"{url}/credentials?as_of={as_of}")
    assert (answer.status_code, 'class="error" role="alert"' in answer.text) == (422, True)


def test_the_past_is_for_those_who_read_history(sign_in: SignIn, organisation: UUID, url: str) -> None:
    viewer = sign_in(Role.VIEWER, organisation_id=organisation)
    assert 'name="as_of"' not in viewer.read(f"{url}/credentials").text
    assert viewer.read(f"{url}/credentials?as_of=2026-01-01T00:00").status_code == 403


# --- of all organisations ---------------------------------------------------------------------------------------------


def test_operators_of_all_organisations_are_enrolled_changed_and_removed(
    administrator: Reader, services: Services, organisation: UUID
) -> None:
    given.an_operator(services, Role.VIEWER, organisation_id=organisation, name="Nightwatch")

    enrolled = administrator.fill_in("/console/operators/enrol", name="Grace", roles=["auditor"])
    assert secret_on(enrolled)
    page = administrator.read("/console/operators").text
    row = re.search(r'<tr><th scope="row"><bdi>Grace.*?</tr>', page, re.DOTALL)
    assert row is not None
    assert "<span>All</span>" in row[0]
    [roles] = re.findall(r'href="(/console/operators/[^"]+/roles)"', row[0])
    assert administrator.fill_in(roles, roles=["viewer"]).status_code == 303
    removed = administrator.fill_in(roles.replace("/roles", "/remove"))
    assert removed.headers["Location"] == "/console/operators?done=operator_removed"

    assert "Nightwatch" in page
    assert f'href="/console/organisations/{organisation}/settings/operators"' in page
    assert "Nightwatch" not in administrator.read("/console/operators?q=grace").text
    assert "No operator is called so" in administrator.read("/console/operators?q=nobody").text


def test_only_operators_of_all_organisations_come_to_them(sign_in: SignIn, organisation: UUID, url: str) -> None:
    of_one = sign_in(Role.ADMINISTRATOR, organisation_id=organisation)
    for path in ("/console/operators", "/console/operators/enrol"):
        assert of_one.read(path).status_code == 403
    assert 'href="/console/operators"' not in of_one.read(f"{url}/settings/operators").text
    viewer = sign_in(Role.VIEWER)
    assert viewer.read("/console/operators").status_code == 403
    assert 'href="/console/operators"' not in viewer.read("/console/organisations").text


def test_organisations_are_found_by_their_name(administrator: Reader, services: Services) -> None:
    given.an_organisation(services, "Night Railways")
    shown = administrator.read("/console/organisations?q=railways").text
    assert ("Night Railways" in shown, "Acme" in shown) == (True, False)
    assert "No organisation is called so" in administrator.read("/console/organisations?q=nobody").text
