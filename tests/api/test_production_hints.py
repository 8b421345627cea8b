"""The last characters of live secrets: for every reader, or for those with the grant for production alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from api.app import create_app
from api.wiring import Services
from ledger.values import Mode, Role
from projections.runner import Projector
from tests import given
from tests.api.conftest import SignedIn
from tests.waiting import until_caught_up


@pytest.fixture
def reader(services: Services) -> Callable[[str, bool], SignedIn]:
    """An auditor with the grant or without it, in an installation with this setting."""

    def signed_in(production_hints: str, production: bool) -> SignedIn:
        settings = replace(services.settings, production_hints=production_hints)
        app = create_app(replace(services, settings=settings))
        operator_id, token = given.an_operator(services, Role.AUDITOR, production=production)
        return SignedIn(app.test_client(), token, operator_id)

    return signed_in


def hints_in(document: Any) -> list[str]:
    """Every hint in an answer, wherever it stands."""
    if isinstance(document, list):
        return [hint for one in document for hint in hints_in(one)]
    if not isinstance(document, dict):
        return []
    own = [document["hint"]] if "hint" in document else []
    return own + [hint for one in document.values() for hint in hints_in(one)]


@pytest.mark.parametrize(
    ("setting", "production", "mode", "shown"),
    [
        ("all", False, Mode.LIVE, True),
        ("granted", True, Mode.LIVE, True),
        ("granted", False, Mode.LIVE, False),
        ("granted", False, Mode.TEST, True),
    ],
)
def test_hints_of_live_secrets_are_for_whom_the_installation_says(
    services: Services,
    projector: Projector,
    organisation: UUID,
    reader: Callable[[str, bool], SignedIn],
    setting: str,
    production: bool,
    mode: Mode,
    shown: bool,
) -> None:
    receipt, secret = given.a_credential(services, organisation, mode=mode)
    until_caught_up(services)
    caller = reader(setting, production)
    path = f"/v1/organisations/{organisation}/credentials"
    one = f"{path}/{receipt.id}"

    for asked in (one, f"{one}?version=1", path, f"{one}/events"):
        answer = caller("GET", asked)
        assert answer.status_code == 200, answer.text
        assert hints_in(answer.json) == [secret[-4:] if shown else ""], asked
        assert (f'"{secret[-4:]}"' in answer.text) == shown, asked  # within an id those four may well stand
    assert hints_in(caller("GET", f"/v1/organisations/{organisation}/events").json) == []
