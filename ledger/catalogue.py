"""What an organisation's credentials can be granted: its catalogue, how events change it, and how a grant is chosen.

Every organisation has one from the beginning, `DEFAULT_CATALOGUE`. Its version counts from 1 and rises with each
change. A credential remembers the version that its scopes were chosen from, and its labels (`read_only`, `custom`...)
are told by that one, whatever the catalogue became since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from ledger.commands import RetirePermissions, SetCatalogue
from ledger.errors import InvalidValue, NothingChanged
from ledger.events import CatalogueChanged, Event, Recorded
from ledger.permissions import Api, Entity, Group, Permission, modes_of, named, refuse_excluded, still_granted, without
from ledger.values import AccessLevel, Action, Mode, Scope, scopes

Preset = Literal["read_only", "write", "full_access"]
PRESETS: dict[Preset, frozenset[Action]] = {
    "read_only": frozenset({Action.VIEW}),
    "write": frozenset({Action.EDIT}),
    "full_access": frozenset(Action),
}
CUSTOM = "custom"  # some of a group's permissions, and no preset's
NONE = "none"  # none of them

FIRST_VERSION = 1  # of the catalogue that every organisation begins with


@dataclass(frozen=True, slots=True)
class Labels:
    """What a set of scopes is called: over the whole catalogue, and for each of its groups."""

    preset: str
    presets: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One version of what can be granted. `retired` are, for each mode, the scopes that were once offered to it and no
    longer are.
    """

    version: int
    groups: tuple[Group, ...]
    apis: tuple[Api, ...] = ()
    retired: Mapping[Mode, tuple[Scope, ...]] = field(default_factory=lambda: dict.fromkeys(Mode, ()))
    # Expanded once: every creation asks for them, and every credential that is shown.
    modes: Mapping[Scope, tuple[Mode, ...]] = field(init=False, repr=False, compare=False)
    _presets: Mapping[Mode, "_Expanded"] = field(init=False, repr=False, compare=False)
    _presets_of_groups: Mapping[Mode, Mapping[str, "_Expanded"]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modes", modes_of(self.groups))
        object.__setattr__(self, "_presets", {mode: _expanded(self.groups, mode) for mode in Mode})
        of_groups = {mode: {group.name: _expanded([group], mode) for group in self.groups} for mode in Mode}
        object.__setattr__(self, "_presets_of_groups", of_groups)

    def preset(self, preset: Preset, mode: Mode) -> tuple[Scope, ...]:
        """The scopes that a preset stands for in a mode, sorted."""
        return tuple(sorted(self._presets[mode][preset]))

    def ceiling(self, apis: Iterable[str]) -> frozenset[str]:
        """The scopes that these APIs take; one that the catalogue no longer lists takes none."""
        connected = set(apis)
        return frozenset(scope for api in self.apis if api.name in connected for scope in api.scopes)

    def effective(self, held: Iterable[str], mode: Mode, ceiling: frozenset[str] | None = None) -> tuple[str, ...]:
        """What a credential's scopes still grant: those that were not retired since and lie within the ceiling."""
        return still_granted(held, frozenset(self.retired[mode]), ceiling)

    def choose(
        self,
        access_level: AccessLevel,
        preset: Preset | None,
        chosen: Iterable[str] | None,
        mode: Mode,
        ceiling: frozenset[str] | None = None,
    ) -> tuple[Scope, ...]:
        """The expanded scopes of a new credential of this mode.

        Full access and presets give what lies within `ceiling` (what the application's APIs take; None for no
        application), and `InvalidValue` where that is nothing. It also names chosen scopes that the catalogue does not
        hold, retired, never holds, holds for the other mode, or that lie beyond the ceiling.
        """
        if access_level is AccessLevel.FULL:
            if preset is not None or chosen is not None:
                raise InvalidValue(
                    "access_level", "full takes every scope: leave out preset and scopes", "contradiction"
                )
            return self._within(ceiling, "full_access", mode, "access_level")
        if preset is None and chosen is None:
            raise InvalidValue("scopes", "fine_grained takes a preset or scopes", "missing_field")
        if preset is not None and chosen is not None:
            raise InvalidValue("scopes", "fine_grained takes either a preset or scopes", "contradiction")
        if preset is not None:
            return self._within(ceiling, preset, mode, "preset")
        wanted = scopes(chosen or ())
        if not wanted:
            raise InvalidValue("scopes", "must name at least one scope", "invalid_length")
        self._refuse_ungrantable(wanted, mode)
        if ceiling is not None and (beyond := [scope for scope in wanted if scope not in ceiling]):
            raise InvalidValue("scopes", f"the application's APIs do not take {named(beyond)}", "beyond_ceiling")
        return wanted

    def labels(self, mode: Mode, held: Iterable[str]) -> Labels:
        """What these scopes are called, for a credential of this mode.

        Where a group has nothing to edit, all of it is `read_only` and `full_access` alike: it is called as the whole
        is, if that fits.
        """
        grant = frozenset(held)
        overall = _called(self._presets[mode], grant)
        presets = {}
        for name, expanded in self._presets_of_groups[mode].items():
            part = grant & expanded["full_access"]
            as_the_whole = expanded.get(overall) == part
            presets[name] = NONE if not part else overall if as_the_whole else _called(expanded, part)
        return Labels(overall, presets)

    def _within(self, ceiling: frozenset[str] | None, preset: Preset, mode: Mode, field_name: str) -> tuple[Scope, ...]:
        whole = self.preset(preset, mode)
        if not whole:
            raise InvalidValue(field_name, f"the catalogue offers {mode} credentials nothing of this", "unknown_scope")
        if ceiling is None:
            return whole
        within = tuple(scope for scope in whole if scope in ceiling)
        if not within:
            reason = "the application's APIs take none of these: connect others first"
            raise InvalidValue("application_id", reason, "beyond_ceiling")
        return within

    def _was_offered(self, scope: Scope) -> bool:
        return any(scope in retired for retired in self.retired.values())

    def _refuse_ungrantable(self, wanted: Iterable[Scope], mode: Mode) -> None:
        refuse_excluded(wanted, "scopes")
        if retired := [scope for scope in wanted if scope not in self.modes and self._was_offered(scope)]:
            raise InvalidValue("scopes", f"the catalogue retired {named(retired)}", "retired_scope")
        if unknown := [scope for scope in wanted if scope not in self.modes]:
            raise InvalidValue("scopes", f"the catalogue does not hold {named(unknown)}", "unknown_scope")
        if foreign := [scope for scope in wanted if mode not in self.modes[scope]]:
            reason = f"{mode} credentials cannot be granted {named(foreign)}"
            raise InvalidValue("scopes", reason, "wrong_mode_scope")


_Expanded = Mapping[str, frozenset[Scope]]  # by preset


def _expanded(groups: Iterable[Group], mode: Mode) -> _Expanded:
    offered = [scope for scope, modes in modes_of(groups).items() if mode in modes]
    return {
        preset: frozenset(scope for scope in offered if scope.rpartition(":")[2] in actions)
        for preset, actions in PRESETS.items()
    }


def _called(expanded: _Expanded, grant: frozenset[str]) -> str:
    return next((preset for preset, whole in expanded.items() if whole == grant), CUSTOM)


def _group(name: str, title: str, *entities: str) -> Group:
    """A group whose entities can be viewed and edited in both modes."""
    return Group(
        name,
        title,
        tuple(
            Entity(
                entity.lower().replace(" ", "_"),
                entity,
                tuple(
                    Permission(action, f"{action.capitalize()} {entity.lower()}", (Mode.LIVE, Mode.TEST))
                    for action in Action
                ),
            )
            for entity in entities
        ),
    )


DEFAULT_CATALOGUE = Catalogue(
    FIRST_VERSION,
    (
        _group("merchant", "Merchant", "Customer", "Currency account", "Merchant account"),
        _group(
            "payments",
            "Payments",
            "Payment route",
            "Payment statement",
            "Payment transaction",
            "Payment commit",
            "Payment request",
            "Payment command",
            "Payment scheme",
        ),
    ),
)
"""The twenty permissions that every organisation begins with."""


# --- the aggregate ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrganisationCatalogue:
    """An organisation's catalogue as its events left it.

    `offered` are all scopes that were ever offered, each with the modes that it was ever offered to.
    """

    id: UUID
    organisation_id: UUID
    catalogue: Catalogue
    offered: Mapping[Scope, tuple[Mode, ...]]
    version: int


def evolve(state: OrganisationCatalogue | None, recorded: Recorded) -> OrganisationCatalogue:
    """The state after one more event."""
    event, version = recorded.event, recorded.aggregate_version
    if not isinstance(event, CatalogueChanged):
        raise TypeError(f"a catalogue has no branch for {type(event).__name__}")
    offers, before = modes_of(event.groups), _offered(state)
    offered = {
        scope: tuple(mode for mode in Mode if mode in (*offers.get(scope, ()), *before.get(scope, ())))
        for scope in {**before, **offers}
    }
    retired = {
        mode: tuple(
            sorted(scope for scope, modes in offered.items() if mode in modes and mode not in offers.get(scope, ()))
        )
        for mode in Mode
    }
    catalogue = Catalogue(FIRST_VERSION + version, event.groups, event.apis, retired)
    return OrganisationCatalogue(recorded.aggregate_id, event.organisation_id, catalogue, offered, version)


def set_catalogue(state: OrganisationCatalogue | None, command: SetCatalogue) -> list[Event]:
    """Another catalogue, whole."""
    current = _current(state)
    if (command.groups, command.apis) == (current.groups, current.apis):
        raise NothingChanged("the catalogue reads so already")
    return [CatalogueChanged(command.context, command.organisation_id, command.groups, command.apis)]


def retire_permissions(state: OrganisationCatalogue | None, command: RetirePermissions) -> list[Event]:
    """The catalogue without some scopes; its APIs no longer take them either."""
    current = _current(state)
    refuse_excluded(command.scopes, "scopes")
    if unknown := [scope for scope in command.scopes if scope not in _offered(state)]:
        raise InvalidValue("scopes", f"the catalogue does not hold {named(unknown)}", "unknown_scope")
    retired = frozenset(command.scopes)
    groups = without(current.groups, retired)
    if groups == current.groups:
        raise NothingChanged("the catalogue offers none of these already")
    if not groups:
        raise InvalidValue("scopes", "a catalogue offers at least one permission", "invalid_length")
    apis = tuple(
        Api(api.name, api.title, api.description, tuple(s for s in api.scopes if s not in retired))
        for api in current.apis
    )
    return [CatalogueChanged(command.context, command.organisation_id, groups, apis)]


def _current(state: OrganisationCatalogue | None) -> Catalogue:
    return DEFAULT_CATALOGUE if state is None else state.catalogue


def _offered(state: OrganisationCatalogue | None) -> Mapping[Scope, tuple[Mode, ...]]:
    return DEFAULT_CATALOGUE.modes if state is None else state.offered
