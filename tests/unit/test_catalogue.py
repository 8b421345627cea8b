"""What can be granted: ten entities, twenty permissions, three presets."""

import pytest

from ledger.catalogue import DEFAULT_CATALOGUE, PRESETS, Preset
from ledger.errors import InvalidValue
from ledger.values import AccessLevel

FULL, FINE = AccessLevel.FULL, AccessLevel.FINE_GRAINED
SCOPES = set(DEFAULT_CATALOGUE.scopes)
VIEWS = {scope for scope in SCOPES if scope.endswith(":view")}


def test_ten_entities_have_a_view_and_an_edit_permission_each() -> None:
    entities = [entity for group in DEFAULT_CATALOGUE.groups.values() for entity in group]
    assert len(entities) == len(set(entities)) == 10
    assert {f"{entity}:{action}" for entity in entities for action in ("view", "edit")} == SCOPES


@pytest.mark.parametrize(
    ("preset", "expected"), [("read_only", VIEWS), ("write", SCOPES - VIEWS), ("full_access", SCOPES)]
)
def test_presets_set_every_group_at_once(preset: Preset, expected: set[str]) -> None:
    chosen = DEFAULT_CATALOGUE.choose(FINE, preset, None)
    assert list(chosen) == sorted(expected)


def test_every_preset_differs_so_that_a_set_of_scopes_shows_as_one_preset_at_most() -> None:
    assert len({DEFAULT_CATALOGUE.preset(preset) for preset in PRESETS}) == len(PRESETS)


def test_full_access_is_every_scope_as_the_catalogue_stands() -> None:
    assert set(DEFAULT_CATALOGUE.choose(FULL, None, None)) == SCOPES


def test_chosen_scopes_are_kept_sorted_and_once() -> None:
    assert DEFAULT_CATALOGUE.choose(FINE, None, ["customer:view", "customer:edit", "customer:view"]) == (
        "customer:edit",
        "customer:view",
    )


@pytest.mark.parametrize(
    ("level", "preset", "chosen", "field"),
    [
        (FULL, "write", None, "access_level"),
        (FULL, None, ["customer:view"], "access_level"),
        (FULL, None, [], "access_level"),
        (FINE, None, None, "scopes"),
        (FINE, "write", ["customer:view"], "scopes"),
        (FINE, None, ["scan_app:login"], "scopes"),
        (FINE, None, ["customer"], "scopes.0"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    level: AccessLevel, preset: Preset | None, chosen: list[str] | None, field: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        DEFAULT_CATALOGUE.choose(level, preset, chosen)
    assert refused.value.field == field


def test_an_unknown_scope_is_named_but_not_a_whole_list_of_them() -> None:
    with pytest.raises(InvalidValue, match=r"does not hold a:b, c:d$"):
        DEFAULT_CATALOGUE.choose(FINE, None, ["c:d", "a:b", "customer:view"])
    with pytest.raises(InvalidValue) as refused:
        DEFAULT_CATALOGUE.choose(FINE, None, [f"e{n}:view" for n in range(100)])
    assert refused.value.reason.count(":view") == 5
