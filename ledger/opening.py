"""Opening an account: from what was asked for to its commands, with the channel logins that an old account begins with.

Master accounts that existed before a day had some channels active by default; later ones, sub-accounts and merchants'
begin with none. The day and the channels are settings. All commands are for one commit (`Ledger.handle_all`), so that
an account never lacks a login that it should have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from uuid_utils.compat import uuid7

from ledger.catalogue import Catalogue
from ledger.commands import Command, CreateCredential, OpenAccount
from ledger.errors import InvalidValue
from ledger.events import Context
from ledger.issuing import issue_credential
from ledger.secrets import DigestKeys, IssuedSecret
from ledger.settings import Settings
from ledger.values import AccessLevel, AccountKind, Channel, Kind, Mode, Name, Reference, one_of, optional


@dataclass(frozen=True, slots=True)
class Opening:
    """An account to open, and the logins it begins with, each with its secret."""

    account: OpenAccount
    logins: Sequence[tuple[CreateCredential, IssuedSecret]]

    @property
    def commands(self) -> list[Command]:
        """All of it, in the order of one commit."""
        return [self.account, *(command for command, _ in self.logins)]


def issue_account(
    digests: DigestKeys,
    catalogue: Catalogue,
    context: Context,
    settings: Settings,
    organisation_id: UUID,
    *,
    kind: str,
    name: str,
    parent_id: UUID | None = None,
    reference: str | None = None,
    opened_on: date | None = None,
    account_id: UUID | None = None,
) -> Opening:
    """A new account with its default channel logins: live, with every scope of the catalogue."""
    account = OpenAccount(
        context=context,
        account_id=account_id or uuid7(),
        organisation_id=organisation_id,
        kind=one_of(AccountKind, kind, "kind"),
        parent_id=parent_id,
        name=Name(name),
        reference=optional(Reference, reference),
        opened_on=opened_on,
    )
    channels = default_channels(settings, account)
    if channels and not catalogue.preset("full_access", Mode.LIVE):
        reason = (
            "a master of that day begins with live channel logins, and the catalogue offers live credentials nothing"
        )
        raise InvalidValue("opened_on", reason, "unknown_scope")
    logins = [
        issue_credential(
            digests,
            catalogue,
            context,
            organisation_id,
            kind=Kind.CHANNEL_LOGIN,
            mode=Mode.LIVE,
            channel=channel,
            access_level=AccessLevel.FULL,
            account_id=account.account_id,
        )
        for channel in channels
    ]
    return Opening(account, logins)


def default_channels(settings: Settings, account: OpenAccount) -> tuple[Channel, ...]:
    """The channels that an account begins with. The day of the setting itself counts as later."""
    opened_on = account.opened_on or account.context.at.date()
    if account.kind is AccountKind.MASTER and opened_on < settings.channel_defaults_before:
        return settings.default_channels
    return ()
