"""Issuing: from what was asked for, in plain values, to a command and the secret that goes with it.

Every way in (API, console, command line, import) builds its commands here, so that a value is parsed, a mode derived
and a secret made by the same rules whoever asks. Nothing here writes: hand the command to `Ledger.handle`, and give
the secret away only once that has answered.

Texts and choices may be plain strings; they are parsed here, and `InvalidValue` names the field that is wrong.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack
from uuid import UUID

from uuid_utils.compat import uuid7

from ledger.catalogue import PRESETS, Catalogue, Preset
from ledger.commands import CreateCredential, EnrolOperator, RotateOperatorToken, RotateSecret
from ledger.errors import InvalidValue
from ledger.events import Context, StoredSecret
from ledger.secrets import HINT_CHARS, DigestKeys, IssuedSecret, choose_password, new_public_id
from ledger.values import (
    AccessLevel,
    Channel,
    Description,
    EmailAddress,
    Environment,
    Identity,
    Kind,
    Label,
    Login,
    Mode,
    Name,
    PublicId,
    Role,
    labels,
    networks,
    one_of,
    optional,
)


class Wanted(TypedDict, total=False):
    """What may be said of a new credential beyond its kind, however its secret comes about. All may be left out,
    but for a mode or an environment (the environment alone gives the mode), and for a preset or scopes unless
    `access_level` is full."""

    mode: str | None
    environment: str | None
    channel: str | None
    login: str | None
    name: str | None
    description: str | None
    contact_email: str | None
    labels: Mapping[str, str] | None
    access_level: str
    preset: str | None
    scopes: Iterable[str] | None
    allowlist: Iterable[str]
    expires_at: datetime | None
    account_id: UUID | None
    application_id: UUID | None
    supersedes: UUID | None


def issue_credential(
    digests: DigestKeys,
    catalogue: Catalogue,
    context: Context,
    organisation_id: UUID,
    *,
    kind: str,
    chosen_secret: str | None = None,
    public_key: StoredSecret | None = None,
    credential_id: UUID | None = None,
    ceiling: frozenset[str] | None = None,
    **wanted: Unpack[Wanted],
) -> tuple[CreateCredential, IssuedSecret]:
    """A new credential with a generated secret, the password that a channel login's user chose, or the public key of an
    OAuth client, which then has no secret to give away.

    `ceiling` are the scopes that its application's APIs take (`Catalogue.ceiling`), None for no application.
    A channel login needs a channel; where no login is asked for, one is generated.
    """
    identity = _identify(kind, None, wanted)
    described = _described(catalogue, ceiling, identity, wanted)  # before the work of hashing a password
    secret = _secret(digests, identity.kind, identity.mode, identity.login or "", chosen_secret, public_key)
    command = CreateCredential(
        context=context,
        credential_id=credential_id or uuid7(),
        organisation_id=organisation_id,
        secret=secret.stored,
        password_hash=secret.password_hash,
        **described,
    )
    return command, secret


def adopt_credential(
    digests: DigestKeys,
    catalogue: Catalogue,
    context: Context,
    organisation_id: UUID,
    *,
    kind: str,
    sha256: str,
    imported_from: str,
    public_id: str | None = None,
    hint: str | None = None,
    credential_id: UUID | None = None,
    **wanted: Unpack[Wanted],
) -> CreateCredential:
    """A credential that another system issued, by the SHA-256 of its secret (64 hexadecimal digits).

    Its holders go on using the secret they have. `imported_from` names that system; `hint` is the secret's last
    characters, if they are known.
    """
    identity = _identify(kind, public_id, wanted)
    return CreateCredential(
        context=context,
        credential_id=credential_id or uuid7(),
        organisation_id=organisation_id,
        secret=_adopted(digests, sha256, hint or ""),
        imported_from=Name(imported_from, "imported_from"),
        **_described(catalogue, None, identity, wanted),
    )


def issue_rotation(
    digests: DigestKeys,
    context: Context,
    credential: Mapping[str, Any],
    *,
    chosen_secret: str | None = None,
    public_key: StoredSecret | None = None,
    login: str | None = None,
    overlap: timedelta = timedelta(0),
    expected_version: int | None = None,
) -> tuple[RotateSecret, IssuedSecret]:
    """The next secret of a credential, given as `projections.credential_status.find_credential` reads it.

    With another `login`, where it is a channel login and takes one.
    """
    kind, mode = Kind(credential["kind"]), Mode(credential["mode"])
    new_login = optional(Login, login)
    secret = _secret(digests, kind, mode, new_login or credential["public_id"], chosen_secret, public_key)
    command = RotateSecret(
        context=context,
        expected_version=expected_version,
        credential_id=credential["credential_id"],
        secret=secret.stored,
        password_hash=secret.password_hash,
        overlap=overlap,
        login=new_login,
    )
    return command, secret


def issue_operator(
    digests: DigestKeys,
    context: Context,
    *,
    name: str,
    roles: Iterable[str],
    email: str | None = None,
    organisation_id: UUID | None = None,
    production: bool = False,
    operator_id: UUID | None = None,
    identity: Identity | None = None,
) -> tuple[EnrolOperator, IssuedSecret]:
    """A new operator and its token, which is for nobody where it has an `identity` elsewhere.

    `organisation_id` None is every organisation.
    """
    token = digests.issue("operator", Mode.LIVE)
    command = EnrolOperator(
        context=context,
        operator_id=operator_id or uuid7(),
        organisation_id=organisation_id,
        name=Name(name),
        email=EmailAddress(email, "email") if email else None,
        roles=parse_roles(roles),
        production=production,
        secret=token.stored,
        identity=identity,
    )
    return command, token


def issue_operator_rotation(
    digests: DigestKeys,
    context: Context,
    operator_id: UUID,
    *,
    overlap: timedelta = timedelta(0),
    expected_version: int | None = None,
) -> tuple[RotateOperatorToken, IssuedSecret]:
    """The next token of an operator."""
    token = digests.issue("operator", Mode.LIVE)
    command = RotateOperatorToken(
        context=context,
        expected_version=expected_version,
        operator_id=operator_id,
        secret=token.stored,
        overlap=overlap,
    )
    return command, token


def parse_roles(roles: Iterable[str]) -> frozenset[Role]:
    """Roles by their names; `InvalidValue` for one that there is not, and for none at all."""
    found = frozenset(one_of(Role, role, "roles") for role in roles)
    if not found:
        raise InvalidValue("roles", "must name at least one role", "invalid_length")
    return found


# --- the parts of a credential ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Identity:
    """What a credential is known and told apart by."""

    kind: Kind
    mode: Mode
    environment: Environment | None
    channel: Channel | None
    login: Login | None
    public_id: PublicId | None


def _identify(kind_name: str, public_id: str | None, wanted: Wanted) -> _Identity:
    kind = one_of(Kind, kind_name, "kind")
    environment_name, mode_name, channel_name = wanted.get("environment"), wanted.get("mode"), wanted.get("channel")
    environment = one_of(Environment, environment_name, "environment") if environment_name else None
    if mode_name:
        mode = one_of(Mode, mode_name, "mode")
    elif environment is not None:
        mode = environment.mode
    else:
        raise InvalidValue("mode", "is required where no environment tells it", "missing_field")
    channel = one_of(Channel, channel_name, "channel") if channel_name else None
    login, public = optional(Login, wanted.get("login")), optional(PublicId, public_id)
    if kind is Kind.CHANNEL_LOGIN:
        if channel is None:
            raise InvalidValue("channel", "is required for a channel login", "missing_field")
        login = login or Login(new_public_id(kind, mode))
    elif login is None:
        public = public or PublicId(new_public_id(kind, mode))
    return _Identity(kind, mode, environment, channel, login, public)


def _described(
    catalogue: Catalogue, ceiling: frozenset[str] | None, identity: _Identity, wanted: Wanted
) -> dict[str, Any]:
    """The fields of `CreateCredential` that say what the credential is and may do."""
    access_level = one_of(AccessLevel, wanted.get("access_level") or AccessLevel.FINE_GRAINED, "access_level")
    preset = parse_preset(wanted.get("preset"))
    return {
        "kind": identity.kind,
        "mode": identity.mode,
        "environment": identity.environment,
        "channel": identity.channel,
        "login": identity.login,
        "public_id": identity.public_id,
        "name": optional(Label, wanted.get("name")),
        "description": optional(Description, wanted.get("description")),
        "contact_email": optional(EmailAddress, wanted.get("contact_email")),
        "labels": labels(wanted.get("labels") or {}),
        "access_level": access_level,
        "scopes": catalogue.choose(access_level, preset, wanted.get("scopes"), identity.mode, ceiling),
        "catalogue_version": catalogue.version,
        "networks": networks(wanted.get("allowlist") or ()),
        "expires_at": wanted.get("expires_at"),
        "account_id": wanted.get("account_id"),
        "application_id": wanted.get("application_id"),
        "supersedes": wanted.get("supersedes"),
    }


def parse_preset(name: str | None) -> Preset | None:
    """A preset by its name; `InvalidValue` for one that there is not."""
    if name is None:
        return None
    for preset in PRESETS:
        if preset == name:
            return preset
    raise InvalidValue("preset", f"is not one of {', '.join(PRESETS)}", "invalid_choice")


def _secret(
    digests: DigestKeys, kind: Kind, mode: Mode, login: str, chosen: str | None, public_key: StoredSecret | None
) -> IssuedSecret:
    if public_key is not None:
        if kind is not Kind.OAUTH_CLIENT:
            raise InvalidValue("public_jwk", "only an OAuth client may have a public key", "contradiction")
        if chosen is not None:
            raise InvalidValue("public_jwk", "and a secret exclude each other", "contradiction")
        return IssuedSecret("", public_key)
    if chosen is None:
        return digests.issue(kind, mode)
    if kind is not Kind.CHANNEL_LOGIN:  # said before any work is spent on hashing it
        raise InvalidValue("secret", "only a channel login may have a chosen secret", "contradiction")
    return choose_password(chosen, about=(login,) if login else ())


def _adopted(digests: DigestKeys, sha256: str, hint: str) -> StoredSecret:
    if not re.fullmatch(f"[\x21-\x7e]{{0,{HINT_CHARS}}}", hint):
        raise InvalidValue("hint", f"is not the last {HINT_CHARS} characters of a secret, or fewer")
    return digests.adopt(sha256.strip().lower(), hint)
