"""Successors: what takes a credential's place names it, and is named by it."""

from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from projections import credential_status
from tests import given
from tests.api.conftest import SignedIn


def successor(administrator: SignedIn, path: str, superseded: object, **more: Any) -> Any:
    body = {"kind": "key_pair", "mode": "test", "preset": "read_only", "supersedes": str(superseded), **more}
    return administrator("POST", path, body)


def test_a_credential_names_what_took_its_place_oldest_first(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    path = f"/v1/organisations/{organisation}/credentials"
    superseded = given.a_credential(services, organisation)[0].id
    read = administrator("GET", f"{path}/{superseded}")
    assert read.json["superseded_by"] == []

    made = [successor(administrator, path, superseded).json["id"] for _ in range(2)]

    assert administrator("GET", f"{path}/{superseded}").json["superseded_by"] == made
    assert administrator("GET", f"{path}/{made[0]}").json["superseded_by"] == []
    assert administrator("GET", f"{path}/{made[0]}").json["supersedes"] == str(superseded)


def test_no_more_successors_are_named_than_a_document_can_hold(
    services: Services, administrator: SignedIn, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/organisations/{organisation}/credentials"
    superseded = given.a_credential(services, organisation)[0].id
    made = [successor(administrator, path, superseded).json["id"] for _ in range(3)]
    monkeypatch.setattr(credential_status, "SUCCESSORS_MAX", 2)

    assert administrator("GET", f"{path}/{superseded}").json["superseded_by"] == made[:2]
