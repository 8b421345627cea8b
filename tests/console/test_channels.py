"""API Keys of a master or sub-account, without JavaScript: S3, by its numbers."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from api.wiring import Services
from ledger.values import AccountKind, Channel, Kind
from projections.account_status import find_account
from projections.credential_status import find_credential
from tests import given
from tests.console.conftest import Reader

pytestmark = pytest.mark.usefixtures("projector")

PASSWORD = "eleven purple walruses sing"
OTHER_PASSWORD = "twelve orange herons whistle"


@pytest.fixture
def account_id(services: Services, organisation: UUID) -> UUID:
    """A master account without channels."""
    return given.an_account(services, organisation)


@pytest.fixture
def api_keys(organisation: UUID, account_id: UUID) -> str:
    """Where its keys are."""
    return f"/console/organisations/{organisation}/accounts/{account_id}/api-keys"


def channels(services: Services, organisation: UUID, account_id: UUID) -> list[dict[str, Any]]:
    """The account's active channels."""
    row = find_account(services.store, organisation, account_id, now=datetime.now(UTC))
    assert row is not None
    found: list[dict[str, Any]] = row["channels"]
    return found


def add(reader: Reader, api_keys: str, channel: str, **typed: object) -> TestResponse:
    """A key for a channel, generated unless it says otherwise."""
    chosen = {"channel": channel, "mode": "live", "preset": "full_access", "credentials": "generated", **typed}
    return reader.fill_in(f"{api_keys}/create", **chosen)


def shown(page: TestResponse, what: str) -> str:
    """A value that is shown to be copied."""
    found = re.search(rf'<output class="mono" id="{what}"[^>]*>([^<]+)</output>', page.text)
    assert found is not None, page.text
    return found[1]


def test_s3_01_a_merchants_keys_are_on_its_own_page(
    services: Services, administrator: Reader, organisation: UUID
) -> None:
    merchant = given.an_account(services, organisation, kind=AccountKind.MERCHANT)
    at = f"/console/organisations/{organisation}"
    for page in ("", "/create"):
        answer = administrator.read(f"{at}/accounts/{merchant}/api-keys{page}")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{at}/merchants/{merchant}/developers")


@pytest.mark.parametrize("channel", list(Channel))
def test_s3_05_a_key_is_created_for_each_of_the_five_channels(
    services: Services,
    administrator: Reader,
    organisation: UUID,
    account_id: UUID,
    api_keys: str,
    channel: Channel,
) -> None:
    made = add(administrator, api_keys, channel)

    assert made.status_code == 200, made.text
    (active,) = channels(services, organisation, account_id)
    assert (active["channel"], active["public_id"]) == (channel, shown(made, "public-id"))
    assert active["kind"] == ("api_key" if channel is Channel.REST else "channel_login")


def test_s3_06_ones_own_credentials_are_taken_and_those_that_are_typed_but_not_chosen_are_not(
    services: Services, administrator: Reader, organisation: UUID, account_id: UUID, api_keys: str
) -> None:
    own = add(administrator, api_keys, "ftp", credentials="own", login="acme.files", secret=PASSWORD)
    assert (shown(own, "public-id"), shown(own, "secret")) == ("acme.files", PASSWORD)
    made = add(administrator, api_keys, "email", login="acme.mail", secret=PASSWORD)
    assert shown(made, "public-id").startswith("login_live_")
    assert len(channels(services, organisation, account_id)) == 2


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        ({"login": "acme.files", "secret": "too short"}, "secret", "shorter than 15 characters"),
        ({"login": "acme.files", "secret": "Acme.Files.acme.files"}, "secret", "easily guessed"),
        ({"login": "acme.files"}, "secret", "Fill this in."),
        ({"secret": PASSWORD}, "login", "Fill this in."),
        ({"login": "a b", "secret": PASSWORD}, "login", "starts with a letter or digit"),
        (
            {"login": "acme.files", "secret": PASSWORD, "channel": "rest"},
            "secret",
            "Only a channel login may have a chosen secret.",
        ),
    ],
)
def test_s3_06_own_credentials_that_are_refused_are_told_beside_their_field_and_the_password_is_not_sent_back(
    services: Services, administrator: Reader, api_keys: str, typed: dict[str, str], field: str, reason: str
) -> None:
    head = services.log.head()
    refused = add(administrator, api_keys, typed.pop("channel", "ftp"), credentials="own", **typed)

    assert (refused.status_code, services.log.head()) == (422, head)
    told = re.search(rf'id="{field}-error">(.*?)</div>', refused.text)
    assert told is not None, refused.text
    assert reason in told[1]
    assert typed.get("secret", PASSWORD) not in refused.text


def test_s3_06_a_login_that_is_taken_is_told(services: Services, administrator: Reader, organisation: UUID) -> None:
    paths = [
        f"/console/organisations/{organisation}/accounts/{given.an_account(services, organisation)}/api-keys"
        for _ in range(2)
    ]
    add(administrator, paths[0], "ftp", credentials="own", login="acme.files", secret=PASSWORD)
    taken = add(administrator, paths[1], "ftp", credentials="own", login="Acme.Files", secret=PASSWORD)
    assert (taken.status_code, 'role="alert"' in taken.text) == (409, True)


def test_s3_07_the_secret_is_shown_once_and_the_notice_says_to_save_it(administrator: Reader, api_keys: str) -> None:
    assert "Save it before you close" in administrator.read(f"{api_keys}/create").text
    made = add(administrator, api_keys, "http")
    assert "will not be shown again" in made.text
    assert shown(made, "secret") not in administrator.read(api_keys).text


def test_s3_08_active_channels_are_listed_each_with_its_actions_and_one_that_ends_is_not(
    services: Services, administrator: Reader, organisation: UUID, account_id: UUID, api_keys: str
) -> None:
    add(administrator, api_keys, "ftp", credentials="own", login="acme.files", secret=PASSWORD)
    (active,) = channels(services, organisation, account_id)
    page = administrator.read(api_keys).text
    for action in ("change", "whitelist"):
        assert f'href="{api_keys}/{active["credential_id"]}/{action}"' in page
    assert "acme.files" in page

    credential = f"/console/organisations/{organisation}/credentials/{active['credential_id']}"
    administrator.fill_in(f"{credential}/suspend")
    assert "No active channels" in administrator.read(api_keys).text


def test_s3_08_the_whitelist_takes_one_address_a_line_and_tells_of_every_line_that_is_none(
    services: Services, administrator: Reader, organisation: UUID, account_id: UUID, api_keys: str
) -> None:
    add(administrator, api_keys, "ftp")
    (active,) = channels(services, organisation, account_id)
    path, head = f"{api_keys}/{active['credential_id']}/whitelist", services.log.head()

    refused = administrator.fill_in(path, allowlist="192.0.2.7\n\n192.0.2.300\n198.51.100.7/24\n2001:db8::/32")
    assert (refused.status_code, services.log.head()) == (422, head)
    assert re.findall(r"<p>(Line \d+)", refused.text) == ["Line 3", "Line 4"]
    assert "did you mean 198.51.100.0/24?" in refused.text
    assert "192.0.2.300" in refused.text

    saved = administrator.fill_in(path, allowlist="192.0.2.7\n2001:db8::/32")
    assert saved.headers["Location"] == f"{api_keys}?done=restricted"
    row = find_credential(services.store, organisation, UUID(active["credential_id"]))
    assert row is not None
    assert row["allowlist"] == ["192.0.2.7/32", "2001:db8::/32"]
    assert "2 networks" in administrator.read(api_keys).text


def test_s3_09_changing_warns_that_implementations_break_and_takes_own_or_generated_credentials(
    services: Services, administrator: Reader, organisation: UUID, account_id: UUID, api_keys: str
) -> None:
    add(administrator, api_keys, "ftp", credentials="own", login="acme.files", secret=PASSWORD)
    (active,) = channels(services, organisation, account_id)
    path = f"{api_keys}/{active['credential_id']}/change"
    assert "will break" in administrator.read(path).text

    changed = administrator.fill_in(path, credentials="own", secret=OTHER_PASSWORD, overlap_seconds="0")
    assert (shown(changed, "public-id"), shown(changed, "secret")) == ("acme.files", OTHER_PASSWORD)
    renamed = administrator.fill_in(path, credentials="own", login="acme.backup", secret=PASSWORD, overlap_seconds="0")
    assert shown(renamed, "public-id") == "acme.backup"
    generated = administrator.fill_in(path, credentials="generated", overlap_seconds="3600")
    assert shown(generated, "public-id") == "acme.backup"
    assert "Rotating" in administrator.read(api_keys).text  # the old ones are good for an hour


def test_s3_10_several_rest_keys_work_and_what_is_too_many_is_told(administrator: Reader, api_keys: str) -> None:
    assert [add(administrator, api_keys, "rest").status_code for _ in range(3)] == [200] * 3
    assert administrator.read(api_keys).text.count('data-title="Status"') == 3
    add(administrator, api_keys, "ftp")
    refused = add(administrator, api_keys, "ftp")
    assert (refused.status_code, "where it may have 1" in refused.text) == (409, True)


def test_a_key_of_another_account_or_of_no_channel_is_not_changed_here(
    services: Services, administrator: Reader, organisation: UUID, account_id: UUID, api_keys: str
) -> None:
    elsewhere = given.an_account(services, organisation)
    others = (
        given.a_credential(services, organisation, account_id=elsewhere, channel=Channel.REST),
        given.a_credential(services, organisation, account_id=account_id, kind=Kind.API_KEY),
    )
    for receipt, _ in others:
        for what in ("change", "whitelist"):
            assert administrator.read(f"{api_keys}/{receipt.id}/{what}").status_code == 404, what
