"""What is done to credentials through the console's forms, without JavaScript."""

import re
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from api.wiring import Services
from ledger.secret_format import SECRET_PATTERN
from ledger.values import Kind, Via
from projections.credential_status import find_credential
from projections.runner import Projector
from tests import given
from tests.console.conftest import Reader
from tests.waiting import until_caught_up

pytestmark = pytest.mark.usefixtures("projector")


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where the organisation's credentials are."""
    return f"/console/organisations/{organisation}/credentials"


@pytest.fixture
def credential_id(services: Services, organisation: UUID) -> UUID:
    """An OAuth client that is good."""
    return given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)[0].id


@pytest.fixture
def credential(credentials: str, credential_id: UUID) -> str:
    """Where its page is."""
    return f"{credentials}/{credential_id}"


def row_of(services: Services, organisation: UUID, credential_id: UUID) -> dict[str, Any]:
    """The credential as it stands."""
    row = find_credential(services.store, organisation, credential_id)
    assert row is not None
    return row


def secret_on(page: TestResponse) -> str:
    """The one secret that a page shows."""
    found = set(re.findall(SECRET_PATTERN, page.text))
    assert len(found) == 1
    secret: str = re.search(SECRET_PATTERN, page.text)[0]  # type: ignore[index]
    return secret


def test_what_is_done_here_is_recorded_as_done_through_the_console(
    services: Services, administrator: Reader, credential: str, credential_id: UUID
) -> None:
    answer = administrator.fill_in(f"{credential}/suspend", reason="INC-7")

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{credential}?done=suspended")
    last = services.log.history(credential_id).recorded[-1].event.context
    assert (last.via, last.reason, last.actor.partition(":")[0]) == (Via.CONSOLE, "INC-7", "operator")
    page = administrator.read(f"{credential}?done=suspended").text
    assert "it is refused until you resume it" in page
    assert "through the console" in page
    assert "“<bdi>INC-7</bdi>”" in page


@pytest.mark.parametrize("site", ["none", "cross-site", "same-site"])
def test_a_link_from_elsewhere_does_not_say_that_something_was_done(
    administrator: Reader, credential: str, site: str
) -> None:
    said = "The credential was revoked."
    assert said in administrator.read(f"{credential}?done=revoked", **{"Sec-Fetch-Site": "same-origin"}).text
    assert said not in administrator.read(f"{credential}?done=revoked", **{"Sec-Fetch-Site": site}).text


def test_a_name_that_is_written_from_right_to_left_does_not_turn_the_sentence_around_it(
    services: Services, administrator: Reader, organisation: UUID, credentials: str
) -> None:
    made, _ = given.a_credential(services, organisation, name="ייצוא 2024", labels={"צוות": "תשלומים"})
    administrator.fill_in(f"{credentials}/{made.id}/edit", name="<שם> 3", description="א, ב: wiki.", reason="בקשה 12")
    page = administrator.read(f"{credentials}/{made.id}").text

    assert "<li>api_key “<bdi>ייצוא 2024</bdi>”</li>" in page
    assert "<li>labels <bdi>צוות</bdi>=<bdi>תשלומים</bdi></li>" in page
    assert "<li>name “<bdi>&lt;שם&gt; 3</bdi>”, contact " in page
    assert "<li>description: <bdi>א, ב: wiki.</bdi></li>" in page
    assert "“<bdi>בקשה 12</bdi>”" in page
    assert not re.search("[\u2068\u2069]", page)


def test_labels_are_edited_a_line_each_and_what_is_none_is_told_by_its_line(
    services: Services, administrator: Reader, organisation: UUID, credential: str, credential_id: UUID
) -> None:
    def labels() -> object:
        return row_of(services, organisation, credential_id)["labels"]

    named = {"name": "Billing", "contact_email": "dev@example.com"}
    lines = "team = payments\n\nurl=https://example.com/?a=b\nempty="
    assert administrator.fill_in(f"{credential}/edit", **named, labels=lines).status_code == 303
    assert labels() == {"team": "payments", "url": "https://example.com/?a=b", "empty": ""}
    assert "team=payments" in administrator.read(f"{credential}/edit").text

    refused = administrator.fill_in(f"{credential}/edit", **named, labels="team=a\npayments\nteam=b\n=c")
    assert refused.status_code == 422
    for told in ("Line 2 is no label", "Line 3 names team again", "Line 4 must not be empty"):
        assert told in refused.text
    many = "\n".join(f"name{number}=x" for number in range(33))
    assert 'id="labels-error"' in administrator.fill_in(f"{credential}/edit", **named, labels=many).text
    assert labels() == {"team": "payments", "url": "https://example.com/?a=b", "empty": ""}

    administrator.fill_in(f"{credential}/edit", **named, labels="")
    assert labels() == {}


def test_labels_that_would_not_read_back_as_they_are_stay_as_they_are(
    services: Services, administrator: Reader, organisation: UUID, credentials: str
) -> None:
    made = given.a_credential(services, organisation, labels={"a=b": "c"})[0].id

    assert 'name="labels"' not in administrator.read(f"{credentials}/{made}/edit").text
    administrator.fill_in(f"{credentials}/{made}/edit", name="Other", contact_email="dev@example.com", labels="x=y")

    row = row_of(services, organisation, made)
    assert (row["name"], row["labels"]) == ("Other", {"a=b": "c"})


def test_a_form_that_is_sent_twice_makes_one_credential_and_shows_it_both_times(
    services: Services, administrator: Reader, organisation: UUID
) -> None:
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    form = administrator.hidden(path) | {"contact_email": "dev@example.com", "mode": "live", "access_level": "full"}
    head = services.log.head()

    first, second = administrator.send(path, form), administrator.send(path, form)

    assert secret_on(first) == secret_on(second)
    assert services.log.head() == head + 2  # created and scopes fixed


def test_once_it_is_stored_nothing_shows_the_secret_any_more(
    services: Services, administrator: Reader, organisation: UUID, credentials: str
) -> None:
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    form = administrator.hidden(path) | {"contact_email": "dev@example.com", "mode": "live", "access_level": "full"}
    made = administrator.send(path, form)
    secret, stored = secret_on(made), re.search(rf'action="({credentials}/[\w-]+/stored)"', made.text)
    assert stored is not None

    acknowledged = administrator.send(
        stored[1], {"csrf": form["csrf"], "idempotency_key": form["idempotency_key"], "done": "created"}
    )
    again = administrator.send(path, form)

    assert acknowledged.headers["Location"] == stored[1].removesuffix("/stored") + "?done=created"
    assert (again.status_code, secret in again.text) == (409, False)
    for page in (acknowledged.headers["Location"], credentials, path.removesuffix("/create")):
        assert secret not in administrator.read(page).text


def test_what_was_typed_is_kept_and_what_is_wrong_stands_beside_its_field(
    services: Services, administrator: Reader, organisation: UUID
) -> None:
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    head = services.log.head()

    refused = administrator.fill_in(
        path, contact_email="dev@nowhere", name="Billing", mode="test", access_level="fine_grained"
    )

    assert (refused.status_code, services.log.head()) == (422, head)
    email = re.search(r'<input id="contact_email"[^>]*>', refused.text)
    assert email is not None
    assert 'value="dev@nowhere"' in email[0]
    assert 'aria-invalid="true" autofocus' in email[0]
    assert 'aria-describedby="contact_email-error contact_email-hint"' in email[0]
    assert 'id="contact_email-error"' in refused.text or 'id="scopes-error"' in refused.text
    assert 'value="Billing"' in refused.text
    assert re.search(r'value="test"\s*checked', refused.text)


def test_regenerating_shows_a_new_secret_once_and_keeps_the_old_one_for_the_overlap(
    services: Services, administrator: Reader, organisation: UUID, credential: str, credential_id: UUID
) -> None:
    page = administrator.fill_in(f"{credential}/rotate", overlap_seconds="3600")

    secret = secret_on(page)
    row = row_of(services, organisation, credential_id)
    assert [s["hint"] for s in row["secrets"]][-1] == secret[-4:]
    assert len(row["secrets"]) == 2
    assert secret not in administrator.read(credential).text
    assert administrator.fill_in(f"{credential}/end-overlap").status_code == 303
    assert administrator.fill_in(f"{credential}/end-overlap").status_code == 409


def test_a_label_does_not_pass_for_a_fact_of_the_ledger(
    services: Services, administrator: Reader, organisation: UUID, credentials: str
) -> None:
    labels = {"Status": "Active", "Rotation due": "never"}
    made = given.a_credential(services, organisation, labels=labels)[0].id

    page = administrator.read(f"{credentials}/{made}").text

    facts = page[page.index('id="section-about"') : page.index('id="section-secrets"')]
    names = re.findall(r"<dt>(.*?)</dt>", facts)
    assert (names.count("Labels"), len(set(names))) == (1, len(names))
    assert "<bdi>Rotation due</bdi>: <bdi>never</bdi>" in facts


def test_while_two_secrets_are_good_a_rotation_offers_only_to_end_both(administrator: Reader, credential: str) -> None:
    assert "Both good for a week" in administrator.read(f"{credential}/rotate").text
    administrator.fill_in(f"{credential}/rotate", overlap_seconds="3600")

    page = administrator.read(f"{credential}/rotate").text
    assert re.findall(r'<option value="(\d+)"[^>]*>([^<]+)', page) == [("0", "End both old secrets at once")]
    assert "retire the older first" in page
    assert secret_on(administrator.fill_in(f"{credential}/rotate", overlap_seconds="0"))


def test_secrets_that_ended_are_folded_away_from_those_that_are_good(
    services: Services, administrator: Reader, organisation: UUID, credential: str, credential_id: UUID
) -> None:
    administrator.fill_in(f"{credential}/rotate", overlap_seconds="0")
    administrator.fill_in(f"{credential}/rotate", overlap_seconds="3600")

    page = administrator.read(credential).text
    panel = page[page.index('id="section-secrets"') : page.index('id="section-allowlist"')]
    good, _, ended = panel.partition("1 that ended")
    assert re.findall(r"Version (\d)", good) == ["3", "2"]
    assert ("Good until" in good, "Ended" in good) == (True, False)
    assert re.findall(r"Version (\d)", ended) == ["1"]
    assert ("Good until" in ended, "Ended" in ended, "Never used" in ended) == (False, True, True)


def test_of_a_revoked_credential_no_secret_is_called_good(administrator: Reader, credential: str) -> None:
    administrator.fill_in(f"{credential}/rotate", overlap_seconds="3600")
    administrator.fill_in(f"{credential}/revoke", grace_seconds="0", revocation_reason="compromised")

    page = administrator.read(credential).text
    panel = page[page.index('id="section-secrets"') : page.index('id="section-allowlist"')]
    assert "None is good any more: the credential is revoked." in panel
    assert re.findall(r"Version (\d)", panel) == ["2", "1"]
    assert ("Good until" in panel, "Not used yet" in panel) == (False, False)


def test_an_event_of_the_history_tells_only_of_the_secrets_that_it_changed(
    services: Services, administrator: Reader, credential: str
) -> None:
    for _ in range(12):
        administrator.fill_in(f"{credential}/rotate", overlap_seconds="0")

    history = administrator.read(credential).text.partition('id="section-history"')[2]
    told = re.findall(r'<th scope="row">Secrets</th><td>(.*?)</td><td>(.*?)</td>', history, re.DOTALL)
    assert len(told) == 12
    for number, (before, after) in enumerate(reversed(told), 1):
        assert set(re.findall(r"Version (\d+)", before)) <= {str(number - 1), str(number)}
        assert re.findall(r"Version (\d+)", after)[-2:] == [str(number), str(number + 1)]
        assert "older" not in before + after


def test_what_it_was_names_the_two_newest_secrets_and_marks_that_others_came(
    services: Services, administrator: Reader, credential: str
) -> None:
    for _ in range(4):
        administrator.fill_in(f"{credential}/rotate", overlap_seconds="0")

    page = administrator.read(f"{credential}/as-of?version=4").text
    secrets = page.partition('<tr class="changed"><th scope="row">Secrets')[2].partition("</tr>")[0]
    then, _, now = secrets.partition('data-title="Now"')
    assert (re.findall(r"Version (\d)", then), re.findall(r"Version (\d)", now)) == (["2", "3"], ["4", "5"])
    assert ("1 older" in then, "3 older" in now) == (True, True)
    same = administrator.read(f"{credential}/as-of?version=6").text
    assert '<tr class="changed"><th scope="row">Secrets' not in same


@pytest.mark.parametrize("overlap", ["", "-1", "soon", "9" * 30, "99999999"])
def test_an_overlap_that_is_none_is_refused_beside_its_field(
    services: Services, administrator: Reader, credential: str, overlap: str
) -> None:
    head = services.log.head()
    refused = administrator.fill_in(f"{credential}/rotate", overlap_seconds=overlap)

    assert (refused.status_code, services.log.head()) == (422, head)
    assert 'id="overlap_seconds-error"' in refused.text


@pytest.mark.parametrize(("grace", "revoked"), [("0", True), ("86400", False)])
def test_revoking_is_final_at_once_or_after_a_grace(
    services: Services,
    administrator: Reader,
    organisation: UUID,
    credential: str,
    credential_id: UUID,
    grace: str,
    revoked: bool,
) -> None:
    form = {"grace_seconds": grace, "revocation_reason": "compromised"}
    assert administrator.fill_in(f"{credential}/revoke", **form).status_code == 303

    row, page = row_of(services, organisation, credential_id), administrator.read(credential).text
    assert row["revocation_reason"] == "compromised"
    assert ("It never comes back" in page) is revoked
    assert ("/rotate" in page) is not revoked


def test_a_suspension_is_lifted(administrator: Reader, credential: str) -> None:
    administrator.fill_in(f"{credential}/suspend")
    assert 'class="badge badge-suspended"' in administrator.read(credential).text

    administrator.fill_in(f"{credential}/resume")
    assert 'class="badge badge-active"' in administrator.read(credential).text


def test_the_allowlist_is_written_a_line_each(
    services: Services, administrator: Reader, organisation: UUID, credential: str, credential_id: UUID
) -> None:
    administrator.fill_in(f"{credential}/allowlist", allowlist=" 192.0.2.7 \r\n\r\n2001:db8::/32\r\n")
    assert row_of(services, organisation, credential_id)["allowlist"] == ["192.0.2.7/32", "2001:db8::/32"]

    administrator.fill_in(f"{credential}/allowlist", allowlist="")
    assert row_of(services, organisation, credential_id)["allowlist"] == []


def test_a_line_that_is_no_network_is_named(services: Services, administrator: Reader, credential: str) -> None:
    head = services.log.head()

    refused = administrator.fill_in(f"{credential}/allowlist", allowlist="192.0.2.7\n\n192.0.2.300")

    assert (refused.status_code, services.log.head()) == (422, head)
    assert "192.0.2.300</textarea>" in refused.text
    assert re.search(r'id="allowlist-error"><p>Line 3', refused.text), refused.text


def test_two_who_edit_at_once_do_not_overwrite_each_other(
    services: Services, administrator: Reader, organisation: UUID, credential: str, credential_id: UUID
) -> None:
    theirs = administrator.hidden(f"{credential}/edit")
    administrator.fill_in(f"{credential}/edit", name="First", contact_email="dev@example.com")

    late = administrator.send(f"{credential}/edit", theirs | {"name": "Second", "contact_email": "dev@example.com"})

    assert (late.status_code, "Somebody changed this" in late.text) == (412, True)
    assert row_of(services, organisation, credential_id)["name"] == "First"


def test_name_description_and_owner_are_edited_and_the_first_two_emptied(
    services: Services, administrator: Reader, organisation: UUID, credential: str, credential_id: UUID
) -> None:
    administrator.fill_in(
        f"{credential}/edit", name="Billing", description="Nightly", contact_email="billing@example.com"
    )
    row = row_of(services, organisation, credential_id)
    assert (row["name"], row["description"], row["contact_email"]) == ("Billing", "Nightly", "billing@example.com")

    administrator.fill_in(f"{credential}/edit", name="", description="", contact_email="billing@example.com")
    row = row_of(services, organisation, credential_id)
    assert (row["name"], row["description"], row["contact_email"]) == ("", "", "billing@example.com")


def test_s1_08_a_successor_is_created_like_it_and_linked(
    services: Services, administrator: Reader, organisation: UUID, credential: str, credential_id: UUID
) -> None:
    form = administrator.read(f"{credential}/successor").text
    assert 'value="dev@example.com"' in form

    made = administrator.fill_in(
        f"{credential}/successor",
        contact_email="dev@example.com",
        access_level="fine_grained",
        scopes=["customer:view", "customer:edit"],
    )

    assert made.status_code == 200, made.text
    successor = re.search(r"/credentials/([\w-]+)/stored", made.text)
    assert successor is not None
    row = row_of(services, organisation, UUID(successor[1]))
    assert (row["supersedes"], row["kind"], row["mode"]) == (credential_id, "oauth_client", "live")
    assert row["scopes"] == ["customer:edit", "customer:view"]
    assert successor[1] in administrator.read(credential).text


def test_the_list_is_filtered_by_its_address_and_says_what_is_wrong_with_it(
    services: Services, projector: Projector, administrator: Reader, organisation: UUID, credentials: str
) -> None:
    given.a_credential(services, organisation, name="Billing")
    given.a_credential(services, organisation, name="Tickets", kind=Kind.KEY_PAIR)
    until_caught_up(services, "credential_list")

    def shown(query: str) -> set[str]:
        return {name for name in ("Billing", "Tickets") if name in administrator.read(f"{credentials}?{query}").text}

    assert shown("") == shown("q=&status=&kind=") == {"Billing", "Tickets"}
    assert shown("q=tick") == shown("kind=key_pair") == {"Tickets"}
    assert shown("status=revoked") == set()
    assert "Nothing found" in administrator.read(f"{credentials}?status=revoked").text
    for wrong in ("status=gone", "cursor=nonsense", "overdue=maybe", "nothing=1", "q=%21%21"):
        refused = administrator.read(f"{credentials}?{wrong}")
        assert (refused.status_code, 'class="error"' in refused.text) == (422, True), wrong


def test_pages_of_the_list_follow_each_other_by_plain_links_and_keep_the_filters(
    services: Services, administrator: Reader, organisation: UUID, credentials: str
) -> None:
    for number in range(5):
        given.a_credential(services, organisation, name=f"Key {number}")
    until_caught_up(services, "credential_list")

    seen, path = [], f"{credentials}?kind=api_key&limit=2"
    while True:
        page = administrator.read(path).text
        seen += re.findall(r"Key \d", page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        if following is None:
            break
        path = following[1].replace("&amp;", "&")
        assert "kind=api_key" in path

    assert seen == ["Key 4", "Key 3", "Key 2", "Key 1", "Key 0"]


def test_a_missing_credential_is_told_as_a_page(administrator: Reader, credentials: str, organisation: UUID) -> None:
    answer = administrator.read(f"{credentials}/{organisation}")

    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "No such credential" in answer.text
