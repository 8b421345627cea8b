"""Accounts in the console, without JavaScript: found, opened, described and closed."""

import re
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.secret_format import SECRET_PATTERN
from ledger.values import AccountKind, Name, Role
from projections.account_status import find_account
from tests import given
from tests.console.conftest import Reader, SignIn

pytestmark = pytest.mark.usefixtures("projector")


@pytest.fixture
def accounts(organisation: UUID) -> str:
    """Where the accounts are."""
    return f"/console/organisations/{organisation}/accounts"


@pytest.fixture
def master(services: Services, organisation: UUID) -> UUID:
    """An open master account."""
    return given.an_account(services, organisation)


def row_of(services: Services, organisation: UUID, account_id: UUID) -> dict[str, object]:
    """The account as it stands."""
    row = find_account(services.store, organisation, account_id, now=datetime.now(UTC))
    assert row is not None
    return row


def test_the_list_is_searched_and_filtered(
    services: Services, administrator: Reader, organisation: UUID, accounts: str, master: UUID
) -> None:
    assert "No account matches" in administrator.read(f"{accounts}?q=nothing-like-this").text
    given.an_account(services, organisation, kind=AccountKind.MERCHANT, name=Name("Corner Shop"))
    found = administrator.read(f"{accounts}?kind=merchant").text
    assert "Corner Shop" in found
    assert f"{accounts}/{master}" not in found
    assert administrator.read(f"{accounts}?kind=bank").status_code == 422
    assert administrator.read(f"{accounts}?cursor=nonsense").status_code == 422


def test_an_account_is_opened_and_its_sub_account_beneath_it(
    services: Services, administrator: Reader, organisation: UUID, accounts: str
) -> None:
    opened = administrator.fill_in(f"{accounts}/open", name="Acme Messaging", reason="CRM-77")
    path = opened.headers["Location"].partition("?")[0]
    sub = administrator.fill_in(f"{path}/open-sub", name="Acme North").headers["Location"].partition("?")[0]

    row = row_of(services, organisation, UUID(sub.rpartition("/")[2]))
    assert (row["kind"], str(row["parent_id"])) == ("sub", path.rpartition("/")[2])
    assert "Acme North" in administrator.read(path).text
    assert "Acme Messaging" in administrator.read(sub).text
    assert administrator.read(f"{sub}/open-sub").status_code == 404


def test_s3_02_an_old_master_begins_with_four_logins_whose_passwords_are_shown_once(
    administrator: Reader, accounts: str
) -> None:
    path = f"{accounts}/open"
    form = administrator.hidden(path) | {"name": "Acme Messaging", "opened_on": "2021-03-01"}
    opened = administrator.send(path, form)

    assert "begins with 4 active channels" in opened.text
    assert len(set(re.findall(SECRET_PATTERN, opened.text))) == 4
    assert administrator.send(path, form).text.count("data-secret") == 4  # sent twice, opened once
    stored = re.search(r'action="([^"]+/stored)"', opened.text)
    assert stored is not None
    done = administrator.send(stored[1], form)
    assert done.status_code == 303
    assert not re.search(SECRET_PATTERN, administrator.send(path, form).text)
    keys = administrator.read(f"{stored[1].removesuffix('/stored')}/api-keys").text
    assert keys.count('data-title="Status"') == 4


def test_s3_03_the_day_itself_is_later(administrator: Reader, accounts: str) -> None:
    opened = administrator.fill_in(f"{accounts}/open", name="Acme Messaging", opened_on="2023-06-06")
    assert opened.status_code == 303
    assert "No active channels" in administrator.read(f"{opened.headers['Location'].partition('?')[0]}/api-keys").text


def test_an_old_master_takes_the_grant_for_production(
    services: Services, sign_in: SignIn, organisation: UUID, accounts: str
) -> None:
    reader, head = sign_in(Role.OPERATOR, organisation_id=organisation, production=False), services.log.head()
    refused = reader.fill_in(f"{accounts}/open", name="Acme Messaging", opened_on="2021-03-01")
    assert (refused.status_code, services.log.head()) == (403, head)


def test_what_is_refused_is_told_beside_its_field_and_what_was_typed_is_kept(
    administrator: Reader, accounts: str
) -> None:
    refused = administrator.fill_in(f"{accounts}/open", name="Acme", reference="C-1", opened_on="1821-03-01")
    assert refused.status_code == 422
    assert 'id="opened_on-error"' in refused.text
    assert 'value="C-1"' in refused.text
    assert 'id="name-error"' in administrator.fill_in(f"{accounts}/open", name=" ").text


def test_an_account_is_described_and_two_who_edit_at_once_do_not_overwrite_each_other(
    services: Services, administrator: Reader, organisation: UUID, accounts: str, master: UUID
) -> None:
    path = f"{accounts}/{master}/edit"
    first, second = administrator.hidden(path), administrator.hidden(path)
    assert administrator.send(path, first | {"name": "Acme Messages", "reference": "C-2"}).status_code == 303
    stale = administrator.send(path, second | {"name": "Acme Letters"})

    assert (stale.status_code, "Somebody changed this" in stale.text) == (412, True)
    row = row_of(services, organisation, master)
    assert (row["name"], row["reference"]) == ("Acme Messages", "C-2")
    administrator.fill_in(path, name="Acme Messages", reference="")
    assert row_of(services, organisation, master)["reference"] == ""


def test_an_account_is_closed_for_a_reason_and_then_offers_nothing(
    services: Services, administrator: Reader, organisation: UUID, accounts: str, master: UUID
) -> None:
    path = f"{accounts}/{master}"
    assert 'id="reason-error"' in administrator.fill_in(f"{path}/close").text
    closed = administrator.fill_in(f"{path}/close", reason="contract ended, CRM-77")

    assert closed.headers["Location"] == f"{path}?done=account_closed"
    assert row_of(services, organisation, master)["closed_reason"] == "contract ended, CRM-77"
    page = administrator.read(path).text
    assert "contract ended, CRM-77" in page
    for offer in ("edit", "close", "open-sub"):
        assert f'href="{path}/{offer}"' not in page
    assert "/create" not in administrator.read(f"{path}/api-keys").text
    assert administrator.fill_in(f"{path}/close", reason="again").status_code == 409


def test_closing_takes_the_grant_for_production(
    services: Services, sign_in: SignIn, organisation: UUID, accounts: str, master: UUID
) -> None:
    reader = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    assert "/close" not in reader.read(f"{accounts}/{master}").text
    assert reader.read(f"{accounts}/{master}/close").status_code == 403


def test_another_organisations_account_is_not_there(services: Services, administrator: Reader, accounts: str) -> None:
    foreign = given.an_account(services, given.an_organisation(services, "Other"), opened_on=date(2026, 1, 1))
    for page in ("", "/edit", "/close", "/open-sub", "/api-keys", "/api-keys/create"):
        assert administrator.read(f"{accounts}/{foreign}{page}").status_code == 404, page
