"""Credentials: created, read, changed and ended."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import outgoing
from api.auth import READS_CREDENTIALS, WRITES_CREDENTIALS, allow, allow_mode
from api.commanding import carry_out, expected_version
from api.incoming import StrictParser, context, services
from api.organisations import existing as existing_organisation
from api.schemas import Why
from api.schemas.credentials import (
    AllowlistIn,
    CredentialIn,
    CredentialOut,
    CredentialWithSecretOut,
    DescriptionIn,
    RevocationIn,
    RotationIn,
)
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    Command,
    CreateCredential,
    DescribeCredential,
    EndOverlap,
    EraseCredential,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SetAllowlist,
    SuspendCredential,
)
from ledger.errors import InvalidValue, NotFound
from ledger.issuing import issue_credential, issue_rotation
from ledger.values import Description, EmailAddress, Label, RevocationReason, labels, networks
from projections.credential_status import find_credential, status_row

blueprint = Blueprint(
    "Credentials",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/credentials",
    description="What external systems authenticate with.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()

Body = dict[str, Any]


def represent(state: Any) -> dict[str, Any]:
    """The credential that a command left."""
    return outgoing.credential(status_row(state))


def existing(organisation_id: UUID, credential_id: UUID) -> dict[str, Any]:
    """The credential's row; 404 where this organisation has no such one."""
    row = find_credential(services().store, organisation_id, credential_id)
    if row is None:
        raise NotFound("credential")
    return row


def writable(organisation_id: UUID, credential_id: UUID) -> dict[str, Any]:
    """The row of a credential that the caller may change."""
    allow(WRITES_CREDENTIALS, organisation_id)
    row = existing(organisation_id, credential_id)
    allow_mode(row["mode"])
    return row


@blueprint.route("")
class Credentials(MethodView):
    """An organisation's credentials."""

    @blueprint.doc(operationId="createCredential")
    @blueprint.arguments(CredentialIn)
    @blueprint.response(201, CredentialWithSecretOut)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Create a credential. Its secret is in this answer and never again."""
        allow(WRITES_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)

        def make() -> tuple[CreateCredential, str]:
            wanted = {name: value for name, value in body.items() if name not in ("reason", "secret", "kind")}
            _check_superseded(organisation_id, wanted.get("supersedes"))
            wanted["allowlist"] = wanted.get("allowlist") or ()
            command, secret = issue_credential(
                services().keyring.digests,
                DEFAULT_CATALOGUE,
                context(body.get("reason")),
                organisation_id,
                kind=body["kind"],
                chosen_secret=body.get("secret"),
                **wanted,
            )
            allow_mode(command.mode)
            return command, secret.plaintext

        return carry_out(
            make,
            represent,
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/credentials/{state.id}",
        )


def _check_superseded(organisation_id: UUID, credential_id: UUID | None) -> None:
    if credential_id is not None and find_credential(services().store, organisation_id, credential_id) is None:
        raise InvalidValue("supersedes", "is not a credential of this organisation")


@blueprint.route("/<uuid:credential_id>")
class Credential(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getCredential")
    @blueprint.response(200, CredentialOut)
    def get(self, organisation_id: UUID, credential_id: UUID) -> Response:
        """Read a credential. Never its secret."""
        allow(READS_CREDENTIALS, organisation_id)
        row = existing(organisation_id, credential_id)
        return outgoing.answer(outgoing.credential(row), headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="describeCredential")
    @blueprint.arguments(DescriptionIn)
    @blueprint.response(200, CredentialOut)
    def patch(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Change name, description, contact or labels. Takes If-Match."""
        writable(organisation_id, credential_id)

        def make() -> tuple[DescribeCredential, None]:
            name, description, email = body.get("name"), body.get("description"), body.get("contact_email")
            return DescribeCredential(
                context=context(body.get("reason")),
                expected_version=expected_version(required=True),
                credential_id=credential_id,
                name=Label(name or "") if "name" in body else None,
                description=Description(description or "") if "description" in body else None,
                contact_email=None if email is None else EmailAddress(email),
                labels=labels(body["labels"]) if "labels" in body else None,
            ), None

        return carry_out(make, represent)


@blueprint.route("/<uuid:credential_id>/rotate")
class Rotation(MethodView):
    """A credential's next secret."""

    @blueprint.doc(operationId="rotateCredential")
    @blueprint.arguments(RotationIn, required=False)
    @blueprint.response(200, CredentialWithSecretOut)
    def post(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Rotate the secret: at once, or with an overlap in which both are good."""
        row = writable(organisation_id, credential_id)

        def make() -> tuple[RotateSecret, str]:
            command, secret = issue_rotation(
                services().keyring.digests,
                context(body.get("reason")),
                row,
                chosen_secret=body.get("secret"),
                overlap=timedelta(seconds=body["overlap_seconds"]),
                expected_version=expected_version(),
            )
            return command, secret.plaintext

        return carry_out(make, represent)


@blueprint.route("/<uuid:credential_id>/allowlist")
class Allowlist(MethodView):
    """Where a credential may be used from."""

    @blueprint.doc(operationId="setAllowlist")
    @blueprint.arguments(AllowlistIn)
    @blueprint.response(200, CredentialOut)
    def put(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Set the whole allowlist. Takes If-Match."""
        writable(organisation_id, credential_id)

        def make() -> tuple[SetAllowlist, None]:
            return SetAllowlist(
                context=context(body.get("reason")),
                expected_version=expected_version(required=True),
                credential_id=credential_id,
                networks=networks(body["allowlist"]),
            ), None

        return carry_out(make, represent)


@blueprint.route("/<uuid:credential_id>/revoke")
class Revocation(MethodView):
    """The end of a credential."""

    @blueprint.doc(operationId="revokeCredential")
    @blueprint.arguments(RevocationIn, required=False)
    @blueprint.response(200, CredentialOut)
    def post(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Revoke the credential for good: now, or from a coming time."""
        writable(organisation_id, credential_id)

        def make() -> tuple[RevokeCredential, None]:
            return RevokeCredential(
                context=context(body.get("reason")),
                expected_version=expected_version(),
                credential_id=credential_id,
                revocation_reason=RevocationReason(body["revocation_reason"]),
                effective_at=body.get("effective_at"),
            ), None

        return carry_out(make, represent)


def _simple(path: str, operation: str, summary: str, command: Callable[..., Command]) -> None:
    """A command that takes nothing but the reason why."""

    @blueprint.doc(operationId=f"{operation}Credential", summary=summary)
    @blueprint.arguments(Why, required=False)
    @blueprint.response(200, CredentialOut)
    def view(body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        writable(organisation_id, credential_id)

        def make() -> tuple[Command, None]:
            return command(
                context=context(body.get("reason")),
                expected_version=expected_version(),
                credential_id=credential_id,
            ), None

        return carry_out(make, represent)

    blueprint.add_url_rule(f"/<uuid:credential_id>/{path}", operation, view, methods=["POST"])


_simple("end-overlap", "endOverlapOf", "Retire the older of two live secrets early", EndOverlap)
_simple("suspend", "suspend", "Refuse the credential until it is resumed", SuspendCredential)
_simple("resume", "resume", "Lift the suspension", ResumeCredential)
_simple("erase", "erase", "Destroy the personal data of a revoked credential", EraseCredential)
