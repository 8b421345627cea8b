"""Commands on credentials, from what a body or a form asked: the same for the API and for the console.

A body has been through its schema of `api/schemas/credentials.py`; a row is a credential as `find_credential` reads it.
Each comes with the secret to give away, where there is one. `expected_version` is the version to decide on, None for
whichever it is at.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from api import granting
from api.auth import allow_mode
from api.client_keys import register_key
from api.erasing import erasure_of
from api.incoming import context, services
from ledger.commands import (
    Command,
    CreateCredential,
    DescribeCredential,
    RevokeCredential,
    RotateSecret,
    SetAllowlist,
)
from ledger.errors import InvalidValue
from ledger.events import StoredSecret
from ledger.issuing import issue_credential, issue_rotation
from ledger.values import Description, EmailAddress, Label, RevocationReason, labels, networks
from projections.credential_status import find_credential

Body = Mapping[str, Any]
Row = Mapping[str, Any]


def create(organisation_id: UUID, body: Body) -> tuple[CreateCredential, str | None]:
    """A new credential, as `CredentialIn` describes it."""
    apart = ("reason", "secret", "public_jwk", "kind")
    wanted = {name: value for name, value in body.items() if name not in apart}
    _check_superseded(organisation_id, wanted.get("supersedes"))
    wanted["allowlist"] = wanted.get("allowlist") or ()
    grounds = granting.grounds_of(services(), organisation_id, wanted.get("application_id"), wanted.get("account_id"))
    wanted["account_id"] = grounds.account_id
    command, secret = issue_credential(
        services().keyring.digests,
        grounds.catalogue,
        context(body.get("reason")),
        organisation_id,
        kind=body["kind"],
        chosen_secret=body.get("secret"),
        public_key=_public_key(body),
        ceiling=grounds.ceiling,
        **wanted,
    )
    allow_mode(command.mode)
    return command, secret.plaintext or None


def describe(row: Row, body: Body, expected_version: int | None) -> tuple[DescribeCredential, None]:
    """Another name, description, contact or labels, as `DescriptionIn` describes them; what is left out stays."""
    name, description, email = body.get("name"), body.get("description"), body.get("contact_email")
    return DescribeCredential(
        context=context(body.get("reason")),
        expected_version=expected_version,
        credential_id=row["credential_id"],
        name=Label(name or "") if "name" in body else None,
        description=Description(description or "") if "description" in body else None,
        contact_email=None if email is None else EmailAddress(email),
        labels=labels(body["labels"]) if "labels" in body else None,
    ), None


def rotate(row: Row, body: Body, expected_version: int | None) -> tuple[RotateSecret, str | None]:
    """The next secret, as `RotationIn` describes it."""
    command, secret = issue_rotation(
        services().keyring.digests,
        context(body.get("reason")),
        row,
        chosen_secret=body.get("secret"),
        public_key=_public_key(body),
        login=body.get("login"),
        overlap=timedelta(seconds=body["overlap_seconds"]),
        expected_version=expected_version,
    )
    return command, secret.plaintext or None


def set_allowlist(row: Row, body: Body, expected_version: int | None) -> tuple[SetAllowlist, None]:
    """Where it may be used from, as `AllowlistIn` describes it."""
    return SetAllowlist(
        context=context(body.get("reason")),
        expected_version=expected_version,
        credential_id=row["credential_id"],
        networks=networks(body["allowlist"]),
    ), None


def revoke(row: Row, body: Body, expected_version: int | None) -> tuple[RevokeCredential, None]:
    """Its end, as `RevocationIn` describes it."""
    return RevokeCredential(
        context=context(body.get("reason")),
        expected_version=expected_version,
        credential_id=row["credential_id"],
        revocation_reason=RevocationReason(body["revocation_reason"]),
        effective_at=body.get("effective_at"),
    ), None


def simple(command: Callable[..., Command], row: Row, body: Body, expected_version: int | None) -> tuple[Command, None]:
    """A command that takes nothing but the reason why."""
    return command(
        context=context(body.get("reason")),
        expected_version=expected_version,
        credential_id=row["credential_id"],
    ), None


def erase(row: Row, body: Body, expected_version: int | None) -> Sequence[Command]:
    """What destroys the personal data behind it, for one commit; the last is the credential's own."""
    return erasure_of(services(), row["credential_id"], context(body.get("reason")), expected_version)


def _public_key(body: Body) -> StoredSecret | None:
    """The public key that the body registers in place of a secret."""
    return register_key(body["public_jwk"]) if body.get("public_jwk") is not None else None


def _check_superseded(organisation_id: UUID, credential_id: UUID | None) -> None:
    if credential_id is not None and find_credential(services().store, organisation_id, credential_id) is None:
        raise InvalidValue("supersedes", "is not a credential of this organisation")
