"""Merchants > a merchant account > Developers > Add API key without JavaScript: S2, by its numbers."""

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.secret_format import SECRET_PATTERN
from ledger.values import AccountKind, Mode, Role
from projections.credential_list import list_credentials
from tests import given
from tests.console.conftest import Reader, SignIn

pytestmark = pytest.mark.usefixtures("projector")


@pytest.fixture
def merchants(organisation: UUID) -> str:
    """Where the merchants are."""
    return f"/console/organisations/{organisation}/merchants"


@pytest.fixture
def developers(services: Services, organisation: UUID, merchants: str) -> str:
    """Where the API keys of a merchant are."""
    merchant = given.an_account(services, organisation, kind=AccountKind.MERCHANT)
    return f"{merchants}/{merchant}/developers"


def scopes_of_the_one_key(services: Services, organisation: UUID) -> list[str]:
    """What the organisation's only credential was granted."""
    (key,) = list_credentials(services.store, organisation, now=datetime.now(UTC), rotation_days=90).rows
    scopes: list[str] = key["scopes"]
    return scopes


def test_s2_01_a_key_is_added_to_a_merchant_account_that_exists(
    services: Services, administrator: Reader, organisation: UUID, merchants: str
) -> None:
    assert "No merchants yet" in administrator.read(merchants).text
    opened = administrator.fill_in(f"{merchants}/open", name="Corner Shop", reference="M-1")
    assert opened.status_code == 303
    assert "Corner Shop" in administrator.read(merchants).text

    master = given.an_account(services, organisation)
    for page in (f"{merchants}/{master}/developers", f"{merchants}/{master}/developers/create"):
        answer = administrator.read(page)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{merchants[:-10]}/accounts/{master}"), page
    assert administrator.read(f"{merchants}/{organisation}/developers/create").status_code == 404


def test_s2_02_the_type_is_required(services: Services, administrator: Reader, developers: str) -> None:
    head = services.log.head()
    refused = administrator.fill_in(f"{developers}/create", name="Web shop", preset="read_only")
    assert (refused.status_code, services.log.head()) == (422, head)
    assert 'id="mode-error"' in refused.text
    assert 'value="Web shop"' in refused.text


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("preset", ["read_only", "write", "full_access"])
def test_s2_03_and_s2_04_a_preset_alone_is_enough(
    services: Services, administrator: Reader, organisation: UUID, developers: str, preset: str, mode: Mode
) -> None:
    made = administrator.fill_in(f"{developers}/create", mode=mode.value, preset=preset)

    assert made.status_code == 200, made.text
    assert scopes_of_the_one_key(services, organisation) == list(DEFAULT_CATALOGUE.preset(preset, mode))  # type: ignore[arg-type]


def test_s2_08_without_a_script_the_server_marks_what_is_custom_and_asks_again(
    services: Services, administrator: Reader, organisation: UUID, developers: str
) -> None:
    head = services.log.head()
    switched = [*DEFAULT_CATALOGUE.preset("read_only", Mode.LIVE), "customer:edit"]
    marked = administrator.fill_in(f"{developers}/create", mode="live", preset="read_only", scopes=switched)

    assert (marked.status_code, services.log.head()) == (422, head)
    assert called(marked.text) == {"Merchant": "Custom", "Payments": "Read-only"}
    assert re.search(r'value="custom"[^>]* checked', marked.text)
    made = administrator.fill_in(f"{developers}/create", mode="live", preset="custom", scopes=switched)
    assert made.status_code == 200, made.text
    assert scopes_of_the_one_key(services, organisation) == sorted(switched)


def called(page: str) -> dict[str, str]:
    """What each group of permissions is called."""
    return dict(re.findall(r"<legend><bdi>([^<]+)</bdi> <output[^>]*>([^<]+)</output>", page))


def test_s2_09_the_page_warns_that_permissions_are_set_once(administrator: Reader, developers: str) -> None:
    assert "Permissions can be set only now." in administrator.read(f"{developers}/create").text


def test_s2_10_the_key_is_shown_once(administrator: Reader, developers: str) -> None:
    made = administrator.fill_in(f"{developers}/create", mode="live", preset="read_only", name="Web shop")

    assert "API key created" in made.text
    key = re.search(SECRET_PATTERN, made.text)
    assert key is not None
    listed = administrator.read(developers).text
    assert "Web shop" in listed
    assert key[0] not in listed


def test_a_merchant_with_no_key_says_so_and_one_who_only_reads_is_offered_none(
    administrator: Reader, sign_in: SignIn, organisation: UUID, developers: str
) -> None:
    assert administrator.read(developers).text.count(f'href="{developers}/create"') == 2
    reader = sign_in(Role.VIEWER, organisation_id=organisation)
    assert "No API keys yet" in reader.read(developers).text
    assert "/create" not in reader.read(developers).text
