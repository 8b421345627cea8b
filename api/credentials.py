"""Credentials: created, read, changed and ended."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import credential_commands, documents, granting, moments, outgoing, past
from api.auditing import shows
from api.auth import READS_CREDENTIALS, READS_HISTORY, WRITES_CREDENTIALS, allow, allow_mode, authenticate
from api.commanding import (
    BEGINNING,
    COMMAND,
    COMMAND_ON_A_VERSION,
    CREATED,
    READ,
    WRITTEN,
    carry_out,
    carry_out_all,
    expected_version,
    reach_position,
)
from api.incoming import StrictParser, now, services
from api.organisations import existing as existing_organisation
from api.schemas import AsOfQuery, Why
from api.schemas.credentials import (
    CREATING,
    DESCRIBING,
    RESTRICTING,
    REVOKING,
    ROTATING,
    AllowlistIn,
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
    EndOverlap,
    ResumeCredential,
    SuspendCredential,
)
from ledger.errors import NotFound
from ledger.values import (
    Channel,
    EmailAddress,
    Environment,
    Kind,
    Mode,
    Status,
    utc,
)
from projections.credential_list import VIEW, CredentialFilters, list_credentials
from projections.credential_status import find_credential, list_successors, status_row
from projections.credentials_as_of import list_credentials_as_of
from projections.readings import Shown

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

        With `as_of` it is the list of that time, newest first whatever the filters: read from histories, so no last
        uses. Asked again it answers the same, but for what was erased.
        """
        allow(READS_HISTORY if "as_of" in query else READS_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        reach_position(VIEW.name)
        if "as_of" in query:
            return outgoing.page(*listed_then(query, organisation_id))
        found = list_credentials(
            services().store,
            organisation_id,
            filters_of(query),
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
        return carry_out(
            lambda: credential_commands.create(organisation_id, body),
            represent,
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/credentials/{state.id}",
        )


def listed_then(query: Body, organisation_id: UUID) -> tuple[Iterator[documents.Document], str | None]:
    """A page of the list at the time that a query asks about, and the cursor of the next."""
    shows(Shown.PAST)
    at = moments.past_time(query["as_of"], "as_of", now())
    page = list_credentials_as_of(
        services().log, organisation_id, at, filters_of(query), cursor=query.get("cursor"), limit=query["limit"]
    )
    return (outgoing.credential(status_row(c), at) for c in page.credentials), page.cursor


def filters_of(query: Body) -> CredentialFilters:
    """The query in the domain's values."""
    given = {name: value for name, value in query.items() if name not in ("as_of", "cursor", "limit")}
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
            allow(READS_HISTORY, organisation_id)
            existing(organisation_id, credential_id)
            return past.as_it_was(query, organisation_id, credential_id, "credential")
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
        return carry_out(lambda: credential_commands.describe(row, body, expected_version(row["version"])), represent)


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
        return carry_out(lambda: credential_commands.rotate(row, body, expected_version(row["version"])), represent)


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
        return carry_out(
            lambda: credential_commands.set_allowlist(row, body, expected_version(row["version"])), represent
        )


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
        return carry_out(lambda: credential_commands.revoke(row, body, expected_version(row["version"])), represent)


def _simple(path: str, operation: str, summary: str, description: str, command: Callable[..., Command]) -> None:
    """A command that takes nothing but the reason why."""

    @blueprint.doc(operationId=operation, summary=summary, description=description, **COMMAND)
    @blueprint.arguments(Why(), required=False)
    @blueprint.response(200, CredentialOut, headers=WRITTEN)
    def view(body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
        row = writable(organisation_id, credential_id)
        return carry_out(
            lambda: credential_commands.simple(command, row, body, expected_version(row["version"])), represent
        )

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


@blueprint.route("/<uuid:credential_id>/erase", methods=["POST"])
@blueprint.doc(operationId="eraseCredential", **COMMAND)
@blueprint.arguments(Why(), required=False)
@blueprint.response(200, CredentialOut, headers=WRITTEN)
def erase(body: Body, organisation_id: UUID, credential_id: UUID) -> Response:
    """Erase a credential's personal data.

    Only of a revoked credential, and for good: the key of its email, login and networks is destroyed, and that of the
    email in bulk revocations which chose it by that. Its history stays, and so does every proof over it.
    """
    row = writable(organisation_id, credential_id)
    return carry_out_all(
        lambda: (
            credential_commands.erase(row, body, expected_version(row["version"])),
            lambda *states: represent(states[-1]),
        )
    )
