"""Credentials: created, read, changed and ended."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import granting, outgoing
from api.auth import READS_CREDENTIALS, READS_HISTORY, WRITES_CREDENTIALS, allow, allow_mode, authenticate
from api.client_keys import register_key
from api.commanding import (
    BEGINNING,
    COMMAND,
    COMMAND_ON_A_VERSION,
    CREATED,
    READ,
    WRITTEN,
    carry_out,
    expected_version,
    reach_position,
)
from api.incoming import StrictParser, context, now, services
from api.organisations import existing as existing_organisation
from api.schemas import Why
from api.schemas.credentials import (
    CREATING,
    DESCRIBING,
    RESTRICTING,
    REVOKING,
    ROTATING,
    AllowlistIn,
    AsOfQuery,
    CredentialDetailOut,
    CredentialIn,
    CredentialOut,
    CredentialPage,
    CredentialQuery,
    CredentialWithSecretOut,
    DescriptionIn,
    RevocationIn,
    RotationIn,
)
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
from ledger.events import StoredSecret
from ledger.issuing import issue_credential, issue_rotation
from ledger.values import (
    Channel,
    Description,
    EmailAddress,
    Environment,
    Kind,
    Label,
    Mode,
    RevocationReason,
    Status,
    labels,
    networks,
    utc,
)
from projections.credential_list import VIEW, CredentialFilters, list_credentials
from projections.credential_status import find_credential, list_successors, status_row
from projections.history import credential_as_of, history_of

blueprint = Blueprint(
    "Credentials",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/credentials",
    description="What external systems authenticate with.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

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

    @blueprint.doc(operationId="listCredentials", parameters=["Keyledger-At-Least"])
    @blueprint.arguments(CredentialQuery(), location="query")
    @blueprint.response(200, CredentialPage)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """List an organisation's credentials.

        Those for which all that is given holds, newest first. What a time decides about comes by that time: with
        `overdue` or `due_before` first what is due the longest, with `expiring_before` what ends the soonest, with
        `status=rotating` whose overlap does, with `status=expired` what ended last. The list may be milliseconds
        behind: send `Keyledger-At-Least` to be sure of your own write.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        reach_position(VIEW.name)
        found = list_credentials(
            services().store,
            organisation_id,
            _filters(query),
            now=now(),
            rotation_days=services().settings.rotation_days,
            cursor=query.get("cursor"),
            limit=query["limit"],
        )
        return outgoing.page(map(outgoing.credential, found.rows), found.cursor)

    @blueprint.doc(operationId="createCredential", **BEGINNING)
    @blueprint.arguments(CredentialIn(), examples=CREATING)
    @blueprint.response(201, CredentialWithSecretOut, headers=CREATED)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Create a credential.

        Its secret is in this answer and never again. What a kind does not need may be left out. Its scopes are those
        of a preset or chosen ones, of the catalogue and within its application's APIs, and are fixed for good.
        """
        allow(WRITES_CREDENTIALS, organisation_id)

        def make() -> tuple[CreateCredential, str | None]:
            apart = ("reason", "secret", "public_jwk", "kind")
            wanted = {name: value for name, value in body.items() if name not in apart}
            _check_superseded(organisation_id, wanted.get("supersedes"))
            wanted["allowlist"] = wanted.get("allowlist") or ()
            grounds = granting.grounds_of(
                services(), organisation_id, wanted.get("application_id"), wanted.get("account_id")
            )
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

        return carry_out(
            make,
            represent,
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/credentials/{state.id}",
        )


def _public_key(body: Body) -> StoredSecret | None:
    """The public key that the body registers in place of a secret."""
    return register_key(body["public_jwk"]) if body.get("public_jwk") is not None else None


def _filters(query: Body) -> CredentialFilters:
    """The query in the domain's values."""
    given = {name: value for name, value in query.items() if name not in ("cursor", "limit")}
    for name, enum in (("status", Status), ("kind", Kind), ("mode", Mode), ("environment", Environment)):
        if name in given:
            given[name] = enum(given[name])
    if "channel" in given:
        given["channel"] = Channel(given["channel"])
    if "contact_email" in given:
        given["contact_email"] = EmailAddress(given["contact_email"])
    for name in ("due_before", "unused_since", "expiring_before"):
        if name in given:
            given[name] = utc(given[name], name)
    return CredentialFilters(**given)


def _check_superseded(organisation_id: UUID, credential_id: UUID | None) -> None:
    if credential_id is not None and find_credential(services().store, organisation_id, credential_id) is None:
        raise InvalidValue("supersedes", "is not a credential of this organisation")


@blueprint.route("/<uuid:credential_id>")
class Credential(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getCredential")
    @blueprint.arguments(AsOfQuery(), location="query")
    @blueprint.response(200, CredentialDetailOut, headers=READ)
    def get(self, query: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Read a credential.

        As it is, or as it was at a time or a version, which takes a role that reads history; never its secret. The
        past has no `ETag`, as nothing can be decided on it, and no last-used times, as they are not events. What its
        scopes grant at this moment is `effective_scopes`, and what took its place `superseded_by`, which the past does
        not have either.
        """
        if query:
            return _past(query, organisation_id, credential_id)
        allow(READS_CREDENTIALS, organisation_id)
        row = existing(organisation_id, credential_id)
        body = outgoing.credential(row) | {
            "effective_scopes": granting.effective_scopes(services(), row),
            "superseded_by": list_successors(services().store, organisation_id, credential_id),
        }
        return outgoing.answer(body, headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="describeCredential", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(DescriptionIn(), examples=DESCRIBING)
    @blueprint.response(200, CredentialOut, headers=WRITTEN)
    def patch(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Change how a credential is described.

        Its name, description, contact or labels; what is left out stays. If-Match must name the version that was read.
        """
        row = writable(organisation_id, credential_id)

        def make() -> tuple[DescribeCredential, None]:
            name, description, email = body.get("name"), body.get("description"), body.get("contact_email")
            return DescribeCredential(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
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

    @blueprint.doc(operationId="rotateCredential", **COMMAND)
    @blueprint.arguments(RotationIn(), required=False, examples=ROTATING)
    @blueprint.response(200, CredentialWithSecretOut, headers=WRITTEN)
    def post(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Rotate a credential's secret.

        At once, or with an overlap in which both are good. The new one is in this answer and never again. Without an
        overlap whatever still uses the old one breaks. A channel login may take another login with it.
        """
        row = writable(organisation_id, credential_id)

        def make() -> tuple[RotateSecret, str | None]:
            command, secret = issue_rotation(
                services().keyring.digests,
                context(body.get("reason")),
                row,
                chosen_secret=body.get("secret"),
                public_key=_public_key(body),
                login=body.get("login"),
                overlap=timedelta(seconds=body["overlap_seconds"]),
                expected_version=expected_version(row["version"]),
            )
            return command, secret.plaintext or None

        return carry_out(make, represent)


@blueprint.route("/<uuid:credential_id>/allowlist")
class Allowlist(MethodView):
    """Where a credential may be used from."""

    @blueprint.doc(operationId="setAllowlist", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(AllowlistIn(), examples=RESTRICTING)
    @blueprint.response(200, CredentialOut, headers=WRITTEN)
    def put(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Set where a credential may be used from.

        The whole allowlist; an empty one allows every address. If-Match must name the version that was read.
        """
        row = writable(organisation_id, credential_id)

        def make() -> tuple[SetAllowlist, None]:
            return SetAllowlist(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
                credential_id=credential_id,
                networks=networks(body["allowlist"]),
            ), None

        return carry_out(make, represent)


@blueprint.route("/<uuid:credential_id>/revoke")
class Revocation(MethodView):
    """The end of a credential."""

    @blueprint.doc(operationId="revokeCredential", **COMMAND)
    @blueprint.arguments(RevocationIn(), required=False, examples=REVOKING)
    @blueprint.response(200, CredentialOut, headers=WRITTEN)
    def post(self, body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        """Revoke a credential for good.

        Now, or from a coming time. Once this is answered, no verification that begins later finds it good.
        """
        row = writable(organisation_id, credential_id)

        def make() -> tuple[RevokeCredential, None]:
            return RevokeCredential(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
                credential_id=credential_id,
                revocation_reason=RevocationReason(body["revocation_reason"]),
                effective_at=body.get("effective_at"),
            ), None

        return carry_out(make, represent)


def _past(query: Body, organisation_id: UUID, credential_id: UUID) -> Response:
    """The credential as it was: at a version, with the status it had when that was recorded, or at a time."""
    allow(READS_HISTORY, organisation_id)
    existing(organisation_id, credential_id)
    version, time = query.get("version"), query.get("as_of")
    if version is not None and time is not None:
        raise InvalidValue("version", "takes either a version or a time, not both", "contradiction")
    if time is not None:
        time = utc(time, "as_of")
        if time > now():
            raise InvalidValue("as_of", "lies in the future, which is not written yet", "future_time")
    log = services().log
    history = history_of(log, organisation_id, credential_id, up_to_version=version, up_to_time=time)
    state = credential_as_of(log, organisation_id, credential_id, version=version, time=time)
    if not history or state is None or version not in (None, state.version):
        raise NotFound("credential at that time" if version is None else "version of this credential")
    return outgoing.answer(outgoing.credential(status_row(state), time or history[-1].at))


def _simple(path: str, operation: str, summary: str, description: str, command: Callable[..., Command]) -> None:
    """A command that takes nothing but the reason why."""

    @blueprint.doc(operationId=operation, summary=summary, description=description, **COMMAND)
    @blueprint.arguments(Why(), required=False)
    @blueprint.response(200, CredentialOut, headers=WRITTEN)
    def view(body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        row = writable(organisation_id, credential_id)

        def make() -> tuple[Command, None]:
            return command(
                context=context(body.get("reason")),
                expected_version=expected_version(row["version"]),
                credential_id=credential_id,
            ), None

        return carry_out(make, represent)

    blueprint.add_url_rule(f"/<uuid:credential_id>/{path}", operation, view, methods=["POST"])


_simple(
    "end-overlap",
    "endOverlap",
    "End a rotation's overlap.",
    "Of two live secrets the older one ends now, before its time.",
    EndOverlap,
)
_simple(
    "suspend",
    "suspendCredential",
    "Suspend a credential.",
    "It is refused until it is resumed; nothing else changes.",
    SuspendCredential,
)
_simple("resume", "resumeCredential", "Resume a credential.", "The suspension is lifted.", ResumeCredential)
_simple(
    "erase",
    "eraseCredential",
    "Erase a credential's personal data.",
    "Only of a revoked credential, and for good: the key of its email, login and networks is destroyed. Its history "
    "stays, and so does every proof over it.",
    EraseCredential,
)
