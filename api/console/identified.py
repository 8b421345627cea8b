"""From whom the identity provider means to the operator that they are here, with the roles that it gives them now.

Somebody is one operator for each organisation that the provider ever gave them roles in, under an id that follows from
all three. So two browsers that sign in at the same moment enrol one, and the history tells every change of their roles.
"""

from collections.abc import Iterator
from contextlib import suppress
from uuid import NAMESPACE_URL, UUID, uuid5

from api.incoming import context, services
from api.openid import Claims, SignedIn
from ledger.commands import ChangeOperatorRoles, Command
from ledger.errors import AlreadyExists, InvalidValue, NothingChanged, StaleVersion
from ledger.issuing import issue_operator
from ledger.role_grants import RoleGrant
from ledger.values import NAME_CHARS_MAX, EmailAddress, Identity, Name, Reason
from projections.operator_status import list_identified

# How often to look again because another sign-in of the same person was faster: each of them leaves less to do.
TRIES_MAX = 5
SYSTEM = "system"


def admit(signed_in: SignedIn) -> UUID | None:
    """The operator whose session to open; None where nothing that the provider says gives a role.

    Roles that it no longer gives are taken, in every organisation. Raises `NotFound` where the settings give roles in
    an organisation that there is not.
    """
    grant = services().settings.oidc_roles.first_of(signed_in.values)
    for _ in range(TRIES_MAX):
        commands = list(_changes(signed_in, grant))
        with suppress(AlreadyExists, NothingChanged, StaleVersion):
            if commands:
                services().ledger.handle_all(commands)
            break
    return None if grant is None else operator_id(signed_in.identity, grant.organisation_id)


def operator_id(identity: Identity, organisation_id: UUID | None) -> UUID:
    """The id of the operator that somebody is in an organisation, or for all."""
    return uuid5(NAMESPACE_URL, f"{identity.issuer} {identity.subject} {organisation_id or ''}")


def _changes(signed_in: SignedIn, grant: RoleGrant | None) -> Iterator[Command]:
    """What has to happen for the ledger to say of this person what the provider does."""
    identity, settings = signed_in.identity, services().settings
    given = f"{settings.oidc_roles_claim} {grant.value}" if grant else "no role is given"
    about = context(f"Signed in at {identity.issuer}: {given}"[: Reason.CHARS_MAX], SYSTEM)
    rows = {row["operator_id"]: row for row in list_identified(services().store, identity)}
    wanted = None if grant is None else operator_id(identity, grant.organisation_id)
    for row in rows.values():
        roles = grant.roles if grant and row["operator_id"] == wanted else frozenset()
        production = bool(roles and grant and grant.production)
        if row["removed_at"] is None and (frozenset(row["roles"]), row["production"]) != (roles, production):
            yield ChangeOperatorRoles(
                context=about,
                expected_version=row["version"],
                operator_id=row["operator_id"],
                roles=roles,
                production=production,
            )
    if grant is not None and wanted not in rows:
        command, _ = issue_operator(  # its token is nobody's
            services().keyring.digests,
            about,
            name=_name(signed_in.claims, identity),
            email=_email(signed_in.claims),
            roles=grant.roles,
            organisation_id=grant.organisation_id,
            production=grant.production,
            operator_id=wanted,
            identity=identity,
        )
        yield command


def _name(claims: Claims, identity: Identity) -> str:
    """What to call them: the first of these claims that can stand in a list."""
    for claim in ("name", "preferred_username", "email"):
        with suppress(InvalidValue):
            return Name(str(claims.get(claim, "")))
    return identity.subject[:NAME_CHARS_MAX]


def _email(claims: Claims) -> str | None:
    """Their address, unless the provider says that it does not know whether it is theirs."""
    with suppress(InvalidValue):
        return EmailAddress(str(claims.get("email", ""))) if claims.get("email_verified", True) is True else None
    return None
