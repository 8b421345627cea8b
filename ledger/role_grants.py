"""What an identity provider's claims give: the entries of KEYLEDGER_OIDC_ROLES. The first that fits decides, alone."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from ledger.values import Role

PRODUCTION = "+production"


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """Whoever has this value among those of the claim is an operator with these roles.

    `organisation_id` None is all organisations; `production` allows live credentials.
    """

    value: str
    roles: frozenset[Role]
    production: bool
    organisation_id: UUID | None

    @classmethod
    def parse(cls, text: str) -> "RoleGrant":
        """An entry as it is written: `VALUE=ROLE,ROLE+production@ORGANISATION`, where the last two may be left out.

        The value ends at the last `=`, so that it can be a distinguished name. Raises `ValueError`.
        """
        value, _, given = text.rpartition("=")
        given, at, organisation = given.partition("@")
        roles = frozenset(Role(role.strip()) for role in given.strip().removesuffix(PRODUCTION).split(","))
        # Signing in is for people: a gateway has a token.
        if not value.strip() or Role.VERIFIER in roles:
            raise ValueError(text)
        production = given.strip().endswith(PRODUCTION)
        return cls(value.strip(), roles, production, UUID(organisation.strip()) if at else None)

    def __str__(self) -> str:
        production = PRODUCTION if self.production else ""
        organisation = f"@{self.organisation_id}" if self.organisation_id else ""
        return f"{self.value}={','.join(sorted(self.roles))}{production}{organisation}"


@dataclass(frozen=True, slots=True)
class RoleGrants:
    """All entries, in their order."""

    entries: tuple[RoleGrant, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "RoleGrants":
        """Entries as they are written, with semicolons between them. Raises `ValueError`."""
        return cls(tuple(RoleGrant.parse(entry) for entry in text.split(";") if entry.strip()))

    def __str__(self) -> str:
        return ";".join(map(str, self.entries))

    def first_of(self, values: Collection[str]) -> RoleGrant | None:
        """What these values of the claim give."""
        return next((entry for entry in self.entries if entry.value in values), None)
