"""Settings > Organisation > Partner API without JavaScript: S0 and S1, by their numbers."""

import re
from uuid import UUID

import pytest

from api.wiring import Services
from projections.runner import Projector
from tests.console.conftest import Reader


@pytest.fixture
def partner_api(organisation: UUID) -> str:
    """Where the page is."""
    return f"/console/organisations/{organisation}/settings/partner-api"


def test_s1_03_and_s1_04_the_empty_state_says_so_and_offers_to_create_twice(
    administrator: Reader, partner_api: str
) -> None:
    page = administrator.read(partner_api).text

    assert "No API keys yet" in page
    assert "No external system is connected" in page
    assert page.count(f'href="{partner_api}/create"') == 2


def test_s0_08_success_shows_client_id_and_secret_once(
    administrator: Reader, projector: Projector, partner_api: str, services: Services
) -> None:
    made = administrator.fill_in(
        f"{partner_api}/create", contact_email="dev@example.com", mode="live", access_level="full"
    )

    assert made.status_code == 200, made.text
    assert "will not be shown again" in made.text
    found = re.search(r"kl_oauth_live_\w+|kl_\w+_live_\w+", made.text)
    assert found is not None
    listed = administrator.read(partner_api)
    assert "dev@<wbr>example<wbr>.com" in listed.text
    assert found[0] not in listed.text
