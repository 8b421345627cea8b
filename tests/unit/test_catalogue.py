"""What can be granted: a catalogue and how it is changed, presets, ceilings, and what a set of scopes is called."""

from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from ledger import errors
from ledger.catalogue import DEFAULT_CATALOGUE, PRESETS, Catalogue, Preset, evolve
from ledger.commands import RetirePermissions, SetCatalogue
from ledger.errors import InvalidValue
from ledger.events import CatalogueChanged, Event, OrganisationRenamed
from ledger.permissions import API_SCOPES_MAX, APIS_MAX, Api, Group, api_names, apis_of, groups_of
from ledger.values import SCOPES_MAX, AccessLevel, Mode, Scope, scopes
from tests.unit.deciding import NOW, ORGANISATION, START, at, given, recorded

FULL, FINE = AccessLevel.FULL, AccessLevel.FINE_GRAINED
LIVE, TEST = Mode.LIVE, Mode.TEST
SCOPES = set(DEFAULT_CATALOGUE.modes)
VIEWS = {scope for scope in SCOPES if scope.endswith(":view")}


def permission(action: str, *modes: str) -> dict[str, Any]:
    """A permission as somebody writes it, for both modes unless it says which."""
    return {"action": action, "title": action, "modes": list(modes or ("live", "test"))}


def group(name: str, **entities: list[dict[str, Any]]) -> dict[str, Any]:
    """A group as somebody writes it."""
    written = [{"name": entity, "title": entity, "permissions": some} for entity, some in entities.items()]
    return {"name": name, "title": name, "entities": written}


def api(name: str, *takes: str) -> dict[str, Any]:
    """An API as somebody writes it."""
    return {"name": name, "title": name, "description": "", "scopes": list(takes)}


ORDERS = group("shop", order=[permission("view"), permission("edit", "test")], stock=[permission("view", "live")])


# --- the default -----------------------------------------------------------------------------------------------------


def test_ten_entities_have_a_view_and_an_edit_permission_each() -> None:
    entities = [entity for one in DEFAULT_CATALOGUE.groups for entity in one.entities]
    names = {entity.name for entity in entities}
    assert len(entities) == len(names) == 10
    assert {f"{name}:{action}" for name in names for action in ("view", "edit")} == SCOPES
    assert [(one.name, len(one.entities)) for one in DEFAULT_CATALOGUE.groups] == [("merchant", 3), ("payments", 7)]


@pytest.mark.parametrize(
    ("preset", "expected"), [("read_only", VIEWS), ("write", SCOPES - VIEWS), ("full_access", SCOPES)]
)
@pytest.mark.parametrize("mode", list(Mode))
def test_presets_set_every_group_at_once(preset: Preset, mode: Mode, expected: set[str]) -> None:
    chosen = DEFAULT_CATALOGUE.choose(FINE, preset, None, mode)
    assert list(chosen) == sorted(expected)


def test_every_preset_differs_so_that_a_set_of_scopes_shows_as_one_preset_at_most() -> None:
    assert len({DEFAULT_CATALOGUE.preset(preset, LIVE) for preset in PRESETS}) == len(PRESETS)


# --- choosing --------------------------------------------------------------------------------------------------------


def shop() -> Catalogue:
    """A catalogue whose permissions differ by mode, with an API for either entity, that retired customers."""
    groups = groups_of([ORDERS])
    apis = apis_of([api("orders", "order:view", "order:edit"), api("stock", "stock:view")], groups)
    return Catalogue(3, groups, apis, retired=dict.fromkeys(Mode, (Scope("customer:view"),)))


def test_full_access_is_every_scope_of_the_mode_as_the_catalogue_stands() -> None:
    assert set(DEFAULT_CATALOGUE.choose(FULL, None, None, LIVE)) == SCOPES
    assert shop().choose(FULL, None, None, LIVE) == ("order:view", "stock:view")
    assert shop().choose(FULL, None, None, TEST) == ("order:edit", "order:view")


def test_chosen_scopes_are_kept_sorted_and_once() -> None:
    assert DEFAULT_CATALOGUE.choose(FINE, None, ["customer:view", "customer:edit", "customer:view"], LIVE) == (
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
        (FINE, None, ["customer"], "scopes.0"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    level: AccessLevel, preset: Preset | None, chosen: list[str] | None, field: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        DEFAULT_CATALOGUE.choose(level, preset, chosen, LIVE)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("scope", "mode", "code"),
    [
        ("order:edit", LIVE, "wrong_mode_scope"),
        ("stock:view", TEST, "wrong_mode_scope"),
        ("customer:view", LIVE, "retired_scope"),
        ("invoice:view", LIVE, "unknown_scope"),
        ("scan_app:login", LIVE, "excluded_scope"),
        ("event_configuration:edit", LIVE, "excluded_scope"),
        ("entrance_plans:view", LIVE, "excluded_scope"),
        ("internal.support:edit", TEST, "excluded_scope"),
        ("scan.app:edit", LIVE, "excluded_scope"),
        ("scanapp:edit", LIVE, "excluded_scope"),
        ("venue.scan_app:edit", LIVE, "excluded_scope"),
        ("event.config:edit", LIVE, "excluded_scope"),
        ("operations.internal:view", LIVE, "excluded_scope"),
        ("internals:view", LIVE, "excluded_scope"),
        ("internalisation:view", LIVE, "unknown_scope"),
        ("event:view", LIVE, "unknown_scope"),
    ],
)
def test_a_scope_that_cannot_be_granted_is_refused_by_what_is_wrong_with_it(scope: str, mode: Mode, code: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        shop().choose(FINE, None, ["order:view", scope], mode)
    assert (refused.value.code, scope in refused.value.reason) == (code, True)


def test_an_unknown_scope_is_named_but_not_a_whole_list_of_them() -> None:
    with pytest.raises(InvalidValue, match=r"does not hold a:b, c:d$"):
        DEFAULT_CATALOGUE.choose(FINE, None, ["c:d", "a:b", "customer:view"], LIVE)
    with pytest.raises(InvalidValue) as refused:
        DEFAULT_CATALOGUE.choose(FINE, None, [f"e{n}:view" for n in range(100)], LIVE)
    assert refused.value.reason.count(":view") == 5


def test_the_ceiling_cuts_presets_and_full_access_and_refuses_what_is_chosen_beyond_it() -> None:
    ceiling = shop().ceiling(["orders", "gone"])
    assert shop().choose(FULL, None, None, LIVE, ceiling) == ("order:view",)
    assert shop().choose(FINE, "full_access", None, TEST, ceiling) == ("order:edit", "order:view")
    assert shop().choose(FINE, None, ["order:view"], LIVE, ceiling) == ("order:view",)
    with pytest.raises(InvalidValue, match="do not take stock:view") as refused:
        shop().choose(FINE, None, ["stock:view"], LIVE, ceiling)
    assert refused.value.code == "beyond_ceiling"


def test_a_preset_of_which_the_ceiling_leaves_nothing_is_refused() -> None:
    with pytest.raises(InvalidValue) as refused:
        shop().choose(FULL, None, None, TEST, shop().ceiling(["stock"]))
    assert (refused.value.field, refused.value.code) == ("application_id", "beyond_ceiling")


def test_effective_is_what_was_not_retired_and_lies_within_the_ceiling() -> None:
    held = ("customer:view", "order:view", "stock:view")
    assert shop().effective(held, LIVE) == ("order:view", "stock:view")
    assert shop().effective(held, LIVE, shop().ceiling(["stock"])) == ("stock:view",)
    assert shop().effective(held, LIVE, frozenset()) == ()


# --- labels ----------------------------------------------------------------------------------------------------------


def test_switching_one_permission_marks_its_group_and_switching_it_back_shows_the_preset_again() -> None:
    views = DEFAULT_CATALOGUE.preset("read_only", LIVE)
    labels = DEFAULT_CATALOGUE.labels(LIVE, views)
    assert (labels.preset, labels.presets) == ("read_only", {"merchant": "read_only", "payments": "read_only"})

    switched = DEFAULT_CATALOGUE.labels(LIVE, {*views, "customer:edit"})
    assert (switched.preset, switched.presets) == ("custom", {"merchant": "custom", "payments": "read_only"})

    assert DEFAULT_CATALOGUE.labels(LIVE, {*views, "customer:edit"} - {"customer:edit"}) == labels


def test_a_group_of_which_nothing_is_held_is_none_and_one_with_nothing_to_edit_is_called_as_the_whole() -> None:
    only_views = Catalogue(2, groups_of([group("a", x=[permission("view")]), group("b", y=[permission("edit")])]))
    assert only_views.labels(LIVE, ["x:view"]).presets == {"a": "read_only", "b": "none"}
    assert only_views.labels(LIVE, ["x:view", "y:edit"]).presets == {"a": "full_access", "b": "full_access"}


@for_any(st.sampled_from(sorted(PRESETS)), st.sampled_from(list(Mode)))
def test_what_a_preset_gives_is_called_by_that_preset(preset: Preset, mode: Mode) -> None:
    labels = DEFAULT_CATALOGUE.labels(mode, DEFAULT_CATALOGUE.choose(FINE, preset, None, mode))
    assert {labels.preset, *labels.presets.values()} == {preset}


# --- reading a document ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "field", "code"),
    [
        ([], "groups", "invalid_length"),
        ([group("a")], "groups.0.entities", "invalid_length"),
        ([group("a", x=[])], "groups.0.entities.0.permissions", "invalid_length"),
        ([group("a", x=[permission("view")] * 2)], "groups.0.entities.0.permissions", "duplicate_field"),
        ([group("a", x=[permission("view")]), group("a", y=[permission("view")])], "groups", "duplicate_field"),
        ([group("a", x=[permission("view")]), group("b", x=[permission("edit")])], "groups", "duplicate_field"),
        ([group("A", x=[permission("view")])], "groups.0.name", "invalid_name"),
        ([group("a", x=[permission("delete")])], "groups.0.entities.0.permissions.0.action", "invalid_choice"),
        ([group("a", x=[permission("view", "both")])], "groups.0.entities.0.permissions.0.modes", "invalid_choice"),
        ([group("a", scan_app=[permission("view")])], "groups.0.entities.0.name", "excluded_scope"),
        ([group("a", internal_tools=[permission("view")])], "groups.0.entities.0.name", "excluded_scope"),
        (
            [group("a", **{f"e{n}": [permission("view")] for n in range(SCOPES_MAX + 1)})],
            "groups",
            "invalid_length",
        ),
    ],
)
def test_groups_that_are_not_well_formed_are_refused(groups: list[dict[str, Any]], field: str, code: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        groups_of(groups)
    assert (refused.value.field, refused.value.code) == (field, code)


def test_a_name_that_only_begins_like_an_excluded_one_is_not_excluded() -> None:
    assert groups_of([group("a", international_payment=[permission("view")])])


@pytest.mark.parametrize(
    ("apis", "field", "code"),
    [
        ([api("a"), api("a")], "apis", "duplicate_field"),
        ([api("a", "invoice:view")], "apis.0.scopes", "unknown_scope"),
        ([api(f"a{n}") for n in range(APIS_MAX + 1)], "apis", "invalid_length"),
    ],
)
def test_apis_that_are_not_well_formed_are_refused(apis: list[dict[str, Any]], field: str, code: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        apis_of(apis, groups_of([ORDERS]))
    assert (refused.value.field, refused.value.code) == (field, code)


def test_all_apis_together_take_no_more_scopes_than_verification_can_read_quickly() -> None:
    groups = groups_of([group("a", **{f"e{n}": [permission("view")] for n in range(SCOPES_MAX)})])
    taken = [f"e{n}:view" for n in range(SCOPES_MAX)]
    assert apis_of([api(f"a{n}", *taken) for n in range(API_SCOPES_MAX // SCOPES_MAX)], groups)
    with pytest.raises(InvalidValue, match="scopes together"):
        apis_of([api(f"a{n}", *taken) for n in range(API_SCOPES_MAX // SCOPES_MAX + 1)], groups)


def test_names_of_apis_are_kept_sorted_and_once_and_are_bounded() -> None:
    assert api_names(["b", "a", "b"]) == ("a", "b")
    with pytest.raises(InvalidValue, match="more than"):
        api_names(f"a{n}" for n in range(APIS_MAX + 1))


# --- the aggregate ---------------------------------------------------------------------------------------------------


def changed(groups: list[dict[str, Any]], *apis: Api) -> CatalogueChanged:
    """The catalogue was set to this."""
    return CatalogueChanged(at(START), ORGANISATION, groups_of(groups), apis)


def set_to(groups: tuple[Group, ...], *apis: Api) -> SetCatalogue:
    """Set it to this."""
    return SetCatalogue(context=at(NOW), organisation_id=ORGANISATION, groups=groups, apis=apis)


def retire(*retired: str) -> RetirePermissions:
    """Take these out."""
    return RetirePermissions(context=at(NOW), organisation_id=ORGANISATION, scopes=scopes(retired))


def folded(*events: Event) -> Catalogue:
    """The catalogue that these leave."""
    state = None
    for one in recorded(events):
        state = evolve(state, one)
    assert state is not None
    return state.catalogue


def test_a_catalogue_is_set_where_it_would_read_otherwise() -> None:
    groups = groups_of([ORDERS])
    given().when(set_to(groups)).then(CatalogueChanged(at(NOW), ORGANISATION, groups, ()))
    given().when(set_to(DEFAULT_CATALOGUE.groups)).refuses(errors.NothingChanged, "nothing_changed")
    given(changed([ORDERS])).when(set_to(groups)).refuses(errors.NothingChanged, "nothing_changed")


def test_versions_count_from_the_default_and_what_is_no_longer_offered_is_retired_until_it_is_again() -> None:
    first = folded(changed([ORDERS]))
    assert (first.version, set(first.retired[LIVE]), set(first.retired[TEST])) == (2, SCOPES, SCOPES)

    second = folded(changed([ORDERS]), changed([group("merchant", customer=[permission("view"), permission("edit")])]))
    assert second.version == 3
    for mode in Mode:
        offered_before = {scope for scope, modes in first.modes.items() if mode in modes}
        assert set(second.retired[mode]) == SCOPES - {"customer:view", "customer:edit"} | offered_before


def test_a_permission_can_be_retired_for_one_mode_and_go_on_for_the_other() -> None:
    narrower = folded(changed([group("merchant", customer=[permission("view", "test")])]))
    assert "customer:view" in narrower.retired[LIVE]
    assert "customer:view" not in narrower.retired[TEST]
    assert narrower.effective(["customer:view"], LIVE) == ()
    assert narrower.effective(["customer:view"], TEST) == ("customer:view",)
    with pytest.raises(InvalidValue) as refused:
        narrower.choose(FINE, None, ["customer:view"], LIVE)
    assert refused.value.code == "wrong_mode_scope"
    assert narrower.choose(FINE, None, ["customer:view"], TEST) == ("customer:view",)


def test_what_is_retired_leaves_the_groups_and_the_apis() -> None:
    takes = Api("orders", "Orders", "", ("order:edit", "order:view"))
    given(changed([ORDERS], takes)).when(retire("order:edit", "stock:view")).then(
        CatalogueChanged(
            at(NOW),
            ORGANISATION,
            groups_of([group("shop", order=[permission("view")])]),
            (Api("orders", "Orders", "", ("order:view",)),),
        )
    )


def test_what_cannot_be_retired_is_refused() -> None:
    given().when(retire("invoice:view")).refuses(InvalidValue, "unknown_scope", field="scopes")
    given().when(retire("scan_app:login")).refuses(InvalidValue, "excluded_scope", field="scopes")
    given().when(retire(*SCOPES)).refuses(InvalidValue, "invalid_length", field="scopes")
    given(changed([ORDERS])).when(retire("customer:view")).refuses(errors.NothingChanged, "nothing_changed")


def test_another_things_event_is_not_folded() -> None:
    with pytest.raises(TypeError, match="OrganisationRenamed"):
        folded(OrganisationRenamed(at(START), "Acme"))
