"""The permissions that credentials can be given: groups of entities, each with a View and an Edit permission."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ledger.errors import InvalidValue
from ledger.values import AccessLevel, Scope, scopes

Preset = Literal["read_only", "write", "full_access"]
PRESETS: dict[Preset, tuple[str, ...]] = {
    "read_only": ("view",),
    "write": ("edit",),
    "full_access": ("view", "edit"),
}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One version of what can be granted. `groups` maps a group to its entities, in the order they are shown."""

    version: int
    groups: dict[str, tuple[str, ...]]
    # Expanded once: every creation asks for them.
    _presets: dict[Preset, tuple[Scope, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        entities = [entity for group in self.groups.values() for entity in group]
        expanded = {
            preset: scopes(f"{entity}:{action}" for entity in entities for action in actions)
            for preset, actions in PRESETS.items()
        }
        object.__setattr__(self, "_presets", expanded)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Every scope there is, sorted."""
        return self.preset("full_access")

    def preset(self, preset: Preset) -> tuple[Scope, ...]:
        """The scopes that a preset stands for, sorted."""
        return self._presets[preset]

    def choose(
        self, access_level: AccessLevel, preset: Preset | None, chosen: Iterable[str] | None
    ) -> tuple[Scope, ...]:
        """The expanded scopes of a new credential; `InvalidValue` names a scope that the catalogue does not hold."""
        if access_level is AccessLevel.FULL:
            if preset is not None or chosen is not None:
                raise InvalidValue(
                    "access_level", "full takes every scope: leave out preset and scopes", "contradiction"
                )
            return self.scopes
        if preset is None and chosen is None:
            raise InvalidValue("scopes", "fine_grained takes a preset or scopes", "missing_field")
        if preset is not None and chosen is not None:
            raise InvalidValue("scopes", "fine_grained takes either a preset or scopes", "contradiction")
        if preset is not None:
            return self.preset(preset)
        wanted = scopes(chosen or ())
        unknown = sorted(set(wanted) - set(self.scopes))
        if unknown:
            raise InvalidValue("scopes", f"the catalogue does not hold {', '.join(unknown[:5])}", "unknown_scope")
        return wanted


DEFAULT_CATALOGUE = Catalogue(
    version=1,
    groups={
        "merchant": ("customer", "currency_account", "merchant_account"),
        "payments": (
            "payment_route",
            "payment_statement",
            "payment_transaction",
            "payment_commit",
            "payment_request",
            "payment_command",
            "payment_scheme",
        ),
    },
)
"""The twenty permissions every organisation begins with."""
