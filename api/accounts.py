"""Accounts: opened, read, described and closed."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView
from flask_smorest import Blueprint

from api import account_commands, documents, outgoing, past
from api.auth import READS_CREDENTIALS, READS_HISTORY, WRITES_CREDENTIALS, allow, allow_mode, authenticate
from api.commanding import (
    BEGINNING,
    COMMAND,
    COMMAND_ON_A_VERSION,
    CREATED,
    READ,
    WRITTEN,
    Commands,
    carry_out,
    carry_out_all,
    expected_version,
)
from api.incoming import StrictParser, now, services
from api.organisations import existing as existing_organisation
from api.schemas import AsOfQuery
from api.schemas.accounts import (
    CLOSING,
    DESCRIBING,
    OPENING,
    AccountDescriptionIn,
    AccountIn,
    AccountOut,
    AccountPage,
    AccountQuery,
    ClosingIn,
    OpenedAccountOut,
)
from ledger.account import Account as AccountState
from ledger.credential import Credential
from ledger.errors import NotFound
from ledger.opening import Opening
from ledger.values import AccountKind, Mode, Name
from projections import credential_status
from projections.account_status import AccountFilters, find_account, list_accounts, status_row
from projections.pages import Page

blueprint = Blueprint(
    "Accounts",
    __name__,
    url_prefix="/v1/organisations/<uuid:organisation_id>/accounts",
    description="What an organisation's credentials belong to: masters, their sub-accounts, merchants.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)

Body = dict[str, Any]


def existing(organisation_id: UUID, account_id: UUID) -> dict[str, Any]:
    """The account's row; 404 where this organisation has no such one."""
    row = find_account(services().store, organisation_id, account_id, now=now())
    if row is None:
        raise NotFound("account")
    return row


def represent(state: AccountState, channels: Sequence[Body]) -> Body:
    """The account that a command left, with its active channels."""
    return documents.account({**status_row(state), "channels": channels})


def represent_opened(account: AccountState, logins: Sequence[Credential], secrets: Sequence[str]) -> Body:
    """A new account, with the channel logins that it begins with and their secrets, this once."""
    rows = [credential_status.status_row(login) for login in logins]
    channels = [documents.active_channel(row) for row in sorted(rows, key=itemgetter("channel"))]
    credentials = [{**outgoing.credential(row), "secret": secret} for row, secret in zip(rows, secrets, strict=True)]
    return represent(account, channels) | {"credentials": credentials}


def to_open(opening: Opening) -> Commands:
    """The commands that open an account, and what answers them."""
    secrets = [secret.plaintext for _, secret in opening.logins]
    return opening.commands, lambda account, *logins: represent_opened(account, logins, secrets)


def found_for(organisation_id: UUID, query: Body) -> Page:
    """The page of an organisation's accounts that a query asks for, as `AccountQuery` reads it."""
    filters = AccountFilters(
        kind=AccountKind(query["kind"]) if "kind" in query else None,
        parent=query.get("parent"),
        closed=query["status"] == "closed" if "status" in query else None,
        q=Name(query["q"], "q") if "q" in query else None,
    )
    return list_accounts(
        services().store, organisation_id, filters, now=now(), cursor=query.get("cursor"), limit=query["limit"]
    )


@blueprint.route("")
class Accounts(MethodView):
    """An organisation's accounts."""

    @blueprint.doc(operationId="listAccounts")
    @blueprint.arguments(AccountQuery(), location="query")
    @blueprint.response(200, AccountPage)
    def get(self, query: Body, organisation_id: UUID) -> Response:
        """List an organisation's accounts.

        In the order in which they were entered; those for which all that is given holds. The list holds your own write
        at once.
        """
        allow(READS_CREDENTIALS, organisation_id)
        existing_organisation(organisation_id)
        found = found_for(organisation_id, query)
        return outgoing.page(map(documents.account, found.rows), found.cursor)

    @blueprint.doc(operationId="openAccount", **BEGINNING)
    @blueprint.arguments(AccountIn(), examples=OPENING)
    @blueprint.response(201, OpenedAccountOut, headers=CREATED)
    def post(self, body: Body, organisation_id: UUID) -> Response:
        """Open an account.

        A master that was opened before the installation's cut-off day begins with a live login on each default channel,
        which takes the grant for production; `credentials` holds them with their secrets, in this answer and never
        again.
        """
        allow(WRITES_CREDENTIALS, organisation_id)
        return carry_out_all(
            lambda: to_open(account_commands.open_account(organisation_id, body)),
            status=201,
            location=lambda state: f"/v1/organisations/{organisation_id}/accounts/{state.id}",
        )


@blueprint.route("/<uuid:account_id>")
class Account(MethodView):
    """One of them."""

    @blueprint.doc(operationId="getAccount")
    @blueprint.arguments(AsOfQuery(), location="query")
    @blueprint.response(200, AccountOut, headers=READ)
    def get(self, query: Body, organisation_id: UUID, account_id: UUID) -> Response:
        """Read an account.

        With the channels on which a key of its own is good now. Or as it was at a time or a version, by its own events
        alone, which takes a role that reads history; the past has no `ETag` and no channels.
        """
        if query:
            allow(READS_HISTORY, organisation_id)
            existing(organisation_id, account_id)
            return past.as_it_was(query, organisation_id, account_id, "account")
        allow(READS_CREDENTIALS, organisation_id)
        row = existing(organisation_id, account_id)
        return outgoing.answer(documents.account(row), headers={"ETag": outgoing.etag(row["version"])})

    @blueprint.doc(operationId="describeAccount", **COMMAND_ON_A_VERSION)
    @blueprint.arguments(AccountDescriptionIn(), examples=DESCRIBING)
    @blueprint.response(200, AccountOut, headers=WRITTEN)
    def patch(self, body: Body, organisation_id: UUID, account_id: UUID) -> Response:
        """Change how an account is described.

        Its name or reference; what is left out stays. If-Match must name the version that was read.
        """
        allow(WRITES_CREDENTIALS, organisation_id)
        row = existing(organisation_id, account_id)
        return carry_out(
            lambda: account_commands.describe(row, body, expected_version(row["version"])),
            lambda state: represent(state, row["channels"]),
        )


@blueprint.route("/<uuid:account_id>/close")
class Closing(MethodView):
    """The end of an account."""

    @blueprint.doc(operationId="closeAccount", **COMMAND)
    @blueprint.arguments(ClosingIn(), examples=CLOSING)
    @blueprint.response(200, AccountOut, headers=WRITTEN)
    def post(self, body: Body, organisation_id: UUID, account_id: UUID) -> Response:
        """Close an account for good.

        Once this is answered, no credential of the account, or of a master's sub-accounts, is found good any more. Each
        is revoked soon after, so that its own history says so. Takes the grant for production.
        """
        allow(WRITES_CREDENTIALS, organisation_id)
        allow_mode(Mode.LIVE)
        row = existing(organisation_id, account_id)
        return carry_out(
            lambda: account_commands.close(row, body, expected_version(row["version"])),
            lambda state: represent(state, []),
        )
