"""What a catalogue lists: groups of entities, their permissions, and the APIs that permissions open.

`groups_of` and `apis_of` read a document as somebody wrote it; what they return is well formed, and goes into events as
it is. The dataclasses check nothing, as what an event holds was checked when it was recorded.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from ledger.errors import InvalidValue
from ledger.values import (
    SCOPES_MAX,
    Action,
    CatalogueName,
    Description,
    Mode,
    Name,
    Scope,
    one_of,
    scopes,
)

APIS_MAX = 200  # an application's APIs are read with every verification of its credentials
API_SCOPES_MAX = 2_000  # of all APIs together, for the same reason: some fifty kilobytes

# What credentials never govern: signing in to the scan app, configuring events, entrance plans and permissions that
# are internal to operations; by these words wherever they stand in an entity's name, however they are joined. Who names
# such a thing by another word is not found out: a list of words keeps a mistake out, and no intent.
_EXCLUDED = re.compile(
    r"(?:.*[._])?(?:scan[._]?apps?|event[._]?config(?:uration)?s?|entrance[._]?plans?|internals?)(?:[._].*)?"
)


@dataclass(frozen=True, slots=True)
class Permission:
    """One thing that can be granted on an entity: to view it or to edit it, to credentials of these modes."""

    action: Action
    title: str
    modes: tuple[Mode, ...]


@dataclass(frozen=True, slots=True)
class Entity:
    """What permissions are about."""

    name: str
    title: str
    permissions: tuple[Permission, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Entities that are shown, and set by a preset, together."""

    name: str
    title: str
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Api:
    """An API that applications connect to, and the scopes that it takes."""

    name: str
    title: str
    description: str
    scopes: tuple[str, ...]


def catalogue_of(organisation_id: UUID) -> UUID:
    """The id of an organisation's one catalogue: derived, so that it has one before anything was recorded of it."""
    return uuid5(organisation_id, "catalogue")


def groups_of(document: Iterable[Mapping[str, Any]]) -> tuple[Group, ...]:
    """The groups that a document lists; `InvalidValue` names what is wrong in it, like `groups.0.entities.2.name`."""
    groups = tuple(_group(group, f"groups.{index}") for index, group in enumerate(document))
    _refuse_empty(groups, "groups")
    _refuse_repetition([group.name for group in groups], "groups")
    _refuse_repetition([entity.name for group in groups for entity in group.entities], "groups")
    if len(modes_of(groups)) > SCOPES_MAX:  # a credential with full access holds them all
        raise InvalidValue("groups", f"hold more than {SCOPES_MAX} permissions", "invalid_length")
    return groups


def apis_of(document: Iterable[Mapping[str, Any]], groups: Sequence[Group]) -> tuple[Api, ...]:
    """The APIs that a document lists; their scopes are among those of the groups."""
    apis = tuple(_api(api, f"apis.{index}") for index, api in enumerate(document))
    _refuse_repetition([api.name for api in apis], "apis")
    if len(apis) > APIS_MAX:
        raise InvalidValue("apis", f"are more than {APIS_MAX}", "invalid_length")
    if sum(len(api.scopes) for api in apis) > API_SCOPES_MAX:
        raise InvalidValue("apis", f"name more than {API_SCOPES_MAX} scopes together", "invalid_length")
    offered = modes_of(groups)
    for index, api in enumerate(apis):
        if unknown := [scope for scope in api.scopes if scope not in offered]:
            raise InvalidValue(f"apis.{index}.scopes", f"the groups do not hold {named(unknown)}", "unknown_scope")
    return apis


def api_names(names: Iterable[str], field: str = "apis") -> tuple[CatalogueName, ...]:
    """Distinct names of APIs, sorted."""
    found = {CatalogueName(name, f"{field}.{index}") for index, name in enumerate(names)}
    if len(found) > APIS_MAX:
        raise InvalidValue(field, f"holds more than {APIS_MAX} APIs", "invalid_length")
    return tuple(sorted(found))


def modes_of(groups: Iterable[Group]) -> dict[Scope, tuple[Mode, ...]]:
    """Every scope that these groups offer, and to credentials of which modes; in the order they are shown."""
    return {
        Scope(f"{entity.name}:{permission.action}"): permission.modes
        for group in groups
        for entity in group.entities
        for permission in entity.permissions
    }


def without(groups: Iterable[Group], retired: frozenset[str]) -> tuple[Group, ...]:
    """The groups without some scopes, and without what is left empty by that."""
    kept = (
        Group(group.name, group.title, tuple(_without(entity, retired) for entity in group.entities))
        for group in groups
    )
    full = (Group(g.name, g.title, tuple(entity for entity in g.entities if entity.permissions)) for g in kept)
    return tuple(group for group in full if group.entities)


def refuse_excluded(wanted: Iterable[str], field: str) -> None:
    """Refuse scopes that no catalogue may offer and no credential may hold."""
    if excluded := [scope for scope in wanted if _EXCLUDED.fullmatch(scope.partition(":")[0])]:
        raise InvalidValue(field, f"credentials never govern {named(excluded)}", "excluded_scope")


def still_granted(
    held: Iterable[str], retired: Collection[str], ceiling: Collection[str] | None = None
) -> tuple[str, ...]:
    """What a credential's scopes grant now: those that were not retired since and lie within the ceiling of its
    application; None for no application.
    """
    return tuple(scope for scope in held if scope not in retired and (ceiling is None or scope in ceiling))


def named(some: Sequence[str]) -> str:
    """The first few, for a sentence that must not outgrow its reader."""
    return ", ".join(sorted(some)[:5])


# --- reading a document ----------------------------------------------------------------------------------------------


def _group(group: Mapping[str, Any], field: str) -> Group:
    entities = tuple(_entity(entity, f"{field}.entities.{i}") for i, entity in enumerate(group["entities"]))
    _refuse_empty(entities, f"{field}.entities")
    return Group(CatalogueName(group["name"], f"{field}.name"), Name(group["title"], f"{field}.title"), entities)


def _entity(entity: Mapping[str, Any], field: str) -> Entity:
    name = CatalogueName(entity["name"], f"{field}.name")
    refuse_excluded([name], f"{field}.name")
    permissions = tuple(
        _permission(permission, f"{field}.permissions.{i}") for i, permission in enumerate(entity["permissions"])
    )
    _refuse_empty(permissions, f"{field}.permissions")
    _refuse_repetition([permission.action for permission in permissions], f"{field}.permissions")
    return Entity(name, Name(entity["title"], f"{field}.title"), permissions)


def _permission(permission: Mapping[str, Any], field: str) -> Permission:
    modes = sorted({one_of(Mode, mode, f"{field}.modes") for mode in permission["modes"]})
    _refuse_empty(modes, f"{field}.modes")
    action = one_of(Action, permission["action"], f"{field}.action")
    return Permission(action, Name(permission["title"], f"{field}.title"), tuple(modes))


def _api(api: Mapping[str, Any], field: str) -> Api:
    return Api(
        CatalogueName(api["name"], f"{field}.name"),
        Name(api["title"], f"{field}.title"),
        Description(api.get("description") or "", f"{field}.description"),
        scopes(api["scopes"], f"{field}.scopes"),
    )


def _without(entity: Entity, retired: frozenset[str]) -> Entity:
    kept = tuple(p for p in entity.permissions if f"{entity.name}:{p.action}" not in retired)
    return Entity(entity.name, entity.title, kept)


def _refuse_empty(some: Sequence[object], field: str) -> None:
    if not some:
        raise InvalidValue(field, "must not be empty", "invalid_length")


def _refuse_repetition(names: Iterable[str], field: str) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidValue(field, f"hold {named(twice)} twice", "duplicate_field")
