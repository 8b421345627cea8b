"""S2, the merchant's API key: permissions by groups, entities and presets, fixed at creation, line by line."""

from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from api.wiring import Services
from ledger.commands import FixScopes
from ledger.errors import ScopesAlreadyFixed
from ledger.values import Scope
from tests import given
from tests.api.conftest import Answer, SignedIn
from tests.cli.conftest import CommandLine

MERCHANT = ["customer", "currency_account", "merchant_account"]
PAYMENTS = [
    f"payment_{what}" for what in ("route", "statement", "transaction", "commit", "request", "command", "scheme")
]
VIEWS = {f"{entity}:view" for entity in MERCHANT + PAYMENTS}
EDITS = {f"{entity}:edit" for entity in MERCHANT + PAYMENTS}


@pytest.fixture
def credentials(organisation: UUID) -> str:
    """Where the organisation's credentials are."""
    return f"/v1/organisations/{organisation}/credentials"


@pytest.fixture
def catalogue(organisation: UUID) -> str:
    """Where its catalogue is."""
    return f"/v1/organisations/{organisation}/catalogue"


def add_key(administrator: SignedIn, credentials: str, **wanted: Any) -> Answer:
    """What "Add API key" does: a live key that may read, unless something else is wanted."""
    body = {"kind": "api_key", "mode": "live", **({} if "scopes" in wanted else {"preset": "read_only"}), **wanted}
    return administrator("POST", credentials, {name: value for name, value in body.items() if value is not None})


def verdict(verifier: SignedIn, secret: str, **asked: Any) -> str:
    """What a gateway is told."""
    code: str = verifier("POST", "/v1/verify", {"secret": secret, **asked}).json["code"]
    return code


def preview(administrator: SignedIn, catalogue: str, **wanted: Any) -> Any:
    """What the page shows while permissions are switched."""
    answer = administrator("POST", f"{catalogue}/preview", {"mode": "live", **wanted})
    assert answer.status_code == 200, answer.text
    return answer.json


def test_s2_01_a_key_is_added_to_a_merchant_account_that_exists(
    administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    nobodys = add_key(administrator, credentials, account_id=str(uuid7()))
    assert (nobodys.status_code, nobodys.json["errors"][0]["field"]) == (422, "account_id")

    accounts = f"/v1/organisations/{organisation}/accounts"
    merchant = administrator("POST", accounts, {"kind": "merchant", "name": "Corner shop"}).json["id"]

    assert add_key(administrator, credentials, account_id=merchant).json["account_id"] == merchant


def test_s2_02_the_type_is_required_and_enforced(
    administrator: SignedIn, verifier: SignedIn, credentials: str, catalogue: str
) -> None:
    assert add_key(administrator, credentials, mode=None).json["code"] == "missing_field"
    live = add_key(administrator, credentials).json["secret"]
    test = add_key(administrator, credentials, mode="test").json["secret"]
    assert verdict(verifier, live, mode="live") == verdict(verifier, test, mode="test") == "VALID"
    assert verdict(verifier, live, mode="test") == verdict(verifier, test, mode="live") == "WRONG_MODE"


def test_s2_02_a_live_key_has_live_permissions_only_and_a_test_key_test_ones(
    services: Services, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    given.a_catalogue(services, organisation, {"order:view": ["live"], "trial:view": ["test"]}, {})

    assert add_key(administrator, credentials).json["scopes"] == ["order:view"]
    assert add_key(administrator, credentials, mode="test").json["scopes"] == ["trial:view"]
    refused = add_key(administrator, credentials, scopes=["trial:view"])
    assert (refused.status_code, refused.json["code"]) == (422, "wrong_mode_scope")


def test_s2_03_name_and_description_are_optional(administrator: SignedIn, credentials: str) -> None:
    unnamed = add_key(administrator, credentials)
    assert (unnamed.status_code, unnamed.json["name"], unnamed.json["description"]) == (201, "", "")
    named = add_key(administrator, credentials, name="Shop", description="The web shop").json
    assert (named["name"], named["description"]) == ("Shop", "The web shop")


@pytest.mark.parametrize(
    ("preset", "expected"), [("read_only", VIEWS), ("write", EDITS), ("full_access", VIEWS | EDITS)]
)
def test_s2_04_presets_set_every_group(
    administrator: SignedIn, credentials: str, preset: str, expected: set[str]
) -> None:
    key = add_key(administrator, credentials, preset=preset).json
    assert set(key["scopes"]) == expected
    assert (key["preset"], key["presets"]) == (preset, {"merchant": preset, "payments": preset})


def test_s2_04_the_command_line_knows_the_presets_too(keyledger: CommandLine, organisation: UUID) -> None:
    shown = keyledger.ok("catalogue", "preview", organisation, "--mode", "live", "--preset", "write", "--json").json
    assert (set(shown["scopes"]), shown["preset"]) == (EDITS, "write")


def entities_of(administrator: SignedIn, catalogue: str) -> dict[str, list[str]]:
    """The entities of each group, in the order they are shown."""
    groups = administrator("GET", catalogue).json["groups"]
    return {group["name"]: [entity["name"] for entity in group["entities"]] for group in groups}


def test_s2_05_the_merchant_scope_has_three_entities(administrator: SignedIn, catalogue: str) -> None:
    assert entities_of(administrator, catalogue)["merchant"] == MERCHANT


def test_s2_06_the_payments_scope_has_seven_entities(administrator: SignedIn, catalogue: str) -> None:
    assert entities_of(administrator, catalogue)["payments"] == PAYMENTS


def test_s2_07_each_entity_has_a_view_and_an_edit(
    administrator: SignedIn, catalogue: str, keyledger: CommandLine, organisation: UUID
) -> None:
    found = administrator("GET", catalogue).json
    entities = [entity for group in found["groups"] for entity in group["entities"]]
    titles = {p["title"] for entity in entities for p in entity["permissions"]}

    assert (len(entities), len(titles), found["version"], found["apis"]) == (10, 20, 1, [])
    for entity in entities:
        assert [p["action"] for p in entity["permissions"]] == ["view", "edit"]
        assert all(p["modes"] == ["live", "test"] for p in entity["permissions"])
    assert {"View customer", "Edit payment scheme"} <= titles
    assert keyledger.ok("catalogue", "show", organisation, "--json").json == found


def test_s2_08_switching_one_permission_marks_its_group_and_switching_back_shows_the_preset_again(
    administrator: SignedIn, catalogue: str
) -> None:
    read_only = preview(administrator, catalogue, preset="read_only")
    assert read_only["presets"] == {"merchant": "read_only", "payments": "read_only"}

    switched = preview(administrator, catalogue, scopes=[*read_only["scopes"], "customer:edit"])
    assert switched["presets"] == {"merchant": "custom", "payments": "read_only"}
    assert switched["preset"] == "custom"

    switched_back = preview(administrator, catalogue, scopes=[s for s in switched["scopes"] if s != "customer:edit"])
    assert switched_back == read_only


def test_s2_08_a_key_keeps_its_labels_whatever_the_catalogue_becomes(
    services: Services, administrator: SignedIn, organisation: UUID, credentials: str
) -> None:
    key = add_key(administrator, credentials).json
    given.a_catalogue(services, organisation, {"order:view": ["live", "test"]}, {})

    read = administrator("GET", f"{credentials}/{key['id']}").json

    assert (read["catalogue_version"], read["preset"]) == (1, "read_only")
    assert read["presets"] == {"merchant": "read_only", "payments": "read_only"}


def test_s2_09_permissions_are_set_at_creation_and_a_second_fixing_is_recorded_nowhere(
    services: Services, administrator: SignedIn, credentials: str
) -> None:
    key = add_key(administrator, credentials).json
    path, head = f"{credentials}/{key['id']}", services.log.head()

    changed = administrator("PATCH", path, {"scopes": ["customer:edit"]}, {"If-Match": "*"})
    assert (changed.status_code, changed.json["code"]) == (422, "unknown_field")
    fix = FixScopes(context=given.context(), credential_id=UUID(key["id"]), scopes=(Scope("customer:edit"),))
    with pytest.raises(ScopesAlreadyFixed):
        services.ledger.handle(fix)

    assert services.log.head() == head
    assert administrator("GET", path).json["scopes"] == key["scopes"]


def test_s2_10_the_key_is_in_the_answer_to_its_creation_and_nowhere_else(
    administrator: SignedIn, credentials: str
) -> None:
    answer = add_key(administrator, credentials)
    key = answer.json
    assert (answer.status_code, key["status"]) == (201, "active")
    assert key["secret"].startswith("kl_api_key_live_")
    for path in (f"{credentials}/{key['id']}", f"{credentials}/{key['id']}/events"):
        assert key["secret"] not in administrator("GET", path).text
