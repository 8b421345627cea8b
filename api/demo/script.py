"""The words that the demo's stories are told in. Each notes what happens and when; nothing is recorded here.

Moments are told as days before now, and fall into the office hours of working days. So what depends on another thing
is told three days after it or later: a weekend may bring the two together. What is noted may be told in any order, for
whoever records it sorts it by time. All that is drawn comes from one `Random`, so the same seed tells the same story;
only ids and secrets differ, which nobody must be able to draw again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Unpack
from uuid import UUID

from uuid_utils.compat import uuid7

from api.wiring import Services
from ledger.account import reason_of_closing
from ledger.application import reason_of_archiving
from ledger.catalogue import DEFAULT_CATALOGUE, Catalogue, OrganisationCatalogue, evolve, set_catalogue
from ledger.commands import (
    ArchiveApplication,
    CloseAccount,
    Command,
    ConnectApis,
    CreateCredential,
    RegisterApplication,
    RegisterOrganisation,
    RevokeCredential,
    SetCatalogue,
)
from ledger.events import Context, Recorded
from ledger.issuing import Wanted, issue_credential, issue_operator, issue_operator_rotation, issue_rotation
from ledger.opening import issue_account
from ledger.permissions import Api, Group, api_names
from ledger.secrets import IssuedSecret
from ledger.values import AccountKind, Channel, Description, Kind, Mode, Name, Reason, RevocationReason, Role, Via

ACTOR = "command_line:demo"  # who begins what nobody in a story could have begun
YEAR_DAYS = 365
_OPENS, _OFFICE_SECONDS = time(8), 10 * 60 * 60
_TICKETS_A_DAY = 3
_SWEPT_AFTER = timedelta(seconds=4)  # within those that the sweeper takes for its round


@dataclass(frozen=True, slots=True)
class Person:
    """An operator of the story: the door it comes through and the address it comes from."""

    id: UUID
    via: Via
    address: str


@dataclass(slots=True)
class Holding:
    """A credential of the story, with its newest secret."""

    id: UUID
    kind: Kind
    mode: Mode
    public_id: str
    channel: Channel | None
    secret: IssuedSecret = field(repr=False)
    versions: int = 1


@dataclass(frozen=True, slots=True)
class App:
    """An application of the story, with the APIs that it is connected to."""

    id: UUID
    apis: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Use:
    """When a version of a credential's secret was last seen."""

    credential_id: UUID
    version: int
    at: datetime


def id_of(at: datetime) -> UUID:
    """An id as it would have been made then: UUIDv7 begins with the time, and ids are sorted by it."""
    return uuid7(nanoseconds=int(at.timestamp() * 1e9))


class Script:
    """One organisation's year, as commands with their moments. `prefix` begins the tickets that its reasons name."""

    def __init__(self, services: Services, now: datetime, draw: Random, name: str, prefix: str) -> None:
        self.name = name
        self.domain = f"{name.split()[0].lower()}.example"  # mail to it goes nowhere (RFC 2606)
        self.now = now
        self.draw = draw
        self.commands: list[Command] = []
        self.uses: list[Use] = []
        self.holdings: list[Holding] = []
        self._digests = services.keyring.digests
        self._settings = services.settings
        self._prefix = prefix
        self._catalogue: OrganisationCatalogue | None = None
        began = self.day(YEAR_DAYS)
        self.organisation_id = id_of(began)
        context = Context(began, ACTOR, Via.COMMAND_LINE, self._request_id(), Reason("contract signed"))
        self.note(RegisterOrganisation(context=context, organisation_id=self.organisation_id, name=Name(name)))

    def note(self, *commands: Command) -> None:
        """This happens, at the moments that the commands carry."""
        self.commands.extend(commands)

    # --- moments and contexts ----------------------------------------------------------------------------------------

    def day(self, ago: int) -> datetime:
        """A moment in the office hours of a working day so many days ago, or of the last one before it."""
        day = (self.now - timedelta(days=ago)).date()
        day -= timedelta(days=max(0, day.weekday() - 4))
        opens = datetime.combine(day, _OPENS, UTC)
        return opens + timedelta(seconds=self.draw.randrange(_OFFICE_SECONDS), milliseconds=self.draw.randrange(1_000))

    def context(self, ago: int, by: Person, why: str) -> Context:
        """Somebody did it that day, for a ticket that says why."""
        ticket = 1_000 + _TICKETS_A_DAY * (YEAR_DAYS - ago) + self.draw.randrange(_TICKETS_A_DAY)
        reason = Reason(f"{self._prefix}-{ticket}: {why}")
        return Context(self.day(ago), f"operator:{by.id}", by.via, self._request_id(), reason, by.address)

    def _request_id(self) -> str:
        return f"{self.draw.getrandbits(64):016x}"

    # --- people ------------------------------------------------------------------------------------------------------

    def hire(
        self,
        ago: int,
        by: Person | None,
        name: str,
        *roles: Role,
        production: bool = False,
        via: Via = Via.CONSOLE,
        why: str = "joins the team",
    ) -> Person:
        """Somebody gets a token. The first of an organisation, by nobody, has it from whoever runs the installation."""
        if by is None:
            context = Context(self.day(ago), ACTOR, Via.COMMAND_LINE, self._request_id(), Reason("first administrator"))
        else:
            context = self.context(ago, by, why)
        person = Person(id_of(context.at), via, f"198.51.100.{self.draw.randrange(1, 255)}")
        command, _ = issue_operator(
            self._digests,
            context,
            name=name,
            roles=roles,
            email=None if Role.VERIFIER in roles else f"{name.lower().replace(' ', '.')}@{self.domain}",
            organisation_id=self.organisation_id,
            production=production,
            operator_id=person.id,
        )
        self.note(command)
        return person

    def renew_token(self, ago: int, by: Person, person: Person, why: str) -> None:
        """Somebody gets another token; the one before is good for a day more."""
        overlap = timedelta(days=1)
        command, _ = issue_operator_rotation(self._digests, self.context(ago, by, why), person.id, overlap=overlap)
        self.note(command)

    # --- what credentials hang on ------------------------------------------------------------------------------------

    @property
    def catalogue(self) -> Catalogue:
        """What can be granted, after what was told so far."""
        return DEFAULT_CATALOGUE if self._catalogue is None else self._catalogue.catalogue

    def offer(self, ago: int, by: Person, groups: tuple[Group, ...], apis: tuple[Api, ...], why: str) -> None:
        """Another catalogue. Told in the order of time, as what is granted depends on it."""
        command = SetCatalogue(
            context=self.context(ago, by, why), organisation_id=self.organisation_id, groups=groups, apis=apis
        )
        self.note(command)
        version = 0 if self._catalogue is None else self._catalogue.version
        for number, event in enumerate(set_catalogue(self._catalogue, command), version + 1):
            recorded = Recorded(command.catalogue_id, number, self.organisation_id, event)
            self._catalogue = evolve(self._catalogue, recorded)

    def open(
        self,
        ago: int,
        by: Person,
        name: str,
        kind: AccountKind,
        why: str,
        *,
        reference: str | None = None,
        parent_id: UUID | None = None,
        opened_on: date | None = None,
    ) -> tuple[UUID, Sequence[Holding]]:
        """An account, with the logins that it begins with."""
        context = self.context(ago, by, why)
        opening = issue_account(
            self._digests,
            self.catalogue,
            context,
            self._settings,
            self.organisation_id,
            kind=kind,
            name=name,
            parent_id=parent_id,
            reference=reference,
            opened_on=opened_on,
            account_id=id_of(context.at),
        )
        logins = [(replace(command, credential_id=id_of(context.at)), secret) for command, secret in opening.logins]
        self.note(opening.account, *(command for command, _ in logins))
        return opening.account.account_id, [self._hold(command, secret) for command, secret in logins]

    def close(self, ago: int, by: Person, account_id: UUID, why: str, holdings: Iterable[Holding]) -> None:
        """The account is closed, and then what hangs on it is swept."""
        context = self.context(ago, by, why)
        self.note(CloseAccount(context=context, account_id=account_id))
        self._sweep(context, reason_of_closing(context.reason), holdings)

    def register(self, ago: int, by: Person, title: str, description: str, apis: Iterable[str], why: str) -> App:
        """An application that is connected to these APIs."""
        context = self.context(ago, by, why)
        app = App(id_of(context.at), tuple(apis))
        self.note(
            RegisterApplication(
                context=context,
                application_id=app.id,
                organisation_id=self.organisation_id,
                title=Name(title),
                description=Description(description),
                apis=api_names(app.apis),
            )
        )
        return app

    def connect(self, ago: int, by: Person, app: App, apis: Iterable[str], why: str) -> None:
        """The application is connected to these APIs and no others."""
        self.note(ConnectApis(context=self.context(ago, by, why), application_id=app.id, apis=api_names(apis)))

    def archive(self, ago: int, by: Person, app: App, why: str, holdings: Iterable[Holding]) -> None:
        """The application is given up, and then its credentials are swept."""
        context = self.context(ago, by, why)
        self.note(ArchiveApplication(context=context, application_id=app.id))
        self._sweep(context, reason_of_archiving(context.reason), holdings)

    def _sweep(self, ended: Context, reason: Reason, holdings: Iterable[Holding]) -> None:
        """What the sweeper does after such an end, in the name of who decided on it (`api/sweeping.py`)."""
        context = replace(ended, at=ended.at + _SWEPT_AFTER, via=Via.SYSTEM, reason=reason, address="")
        because = RevocationReason.NO_LONGER_USED
        self.note(
            *(RevokeCredential(context=context, credential_id=one.id, revocation_reason=because) for one in holdings)
        )

    # --- credentials -------------------------------------------------------------------------------------------------

    def issue(
        self,
        ago: int,
        by: Person,
        why: str,
        *,
        kind: Kind,
        app: App | None = None,
        chosen_secret: str | None = None,
        **wanted: Unpack[Wanted],
    ) -> Holding:
        """A credential."""
        context = self.context(ago, by, why)
        if app is not None:
            wanted["application_id"] = app.id
        command, secret = issue_credential(
            self._digests,
            self.catalogue,
            context,
            self.organisation_id,
            kind=kind,
            chosen_secret=chosen_secret,
            credential_id=id_of(context.at),
            ceiling=None if app is None else self.catalogue.ceiling(app.apis),
            **wanted,
        )
        self.note(command)
        return self._hold(command, secret)

    def _hold(self, command: CreateCredential, secret: IssuedSecret) -> Holding:
        public_id = command.login or command.public_id or ""
        holding = Holding(command.credential_id, command.kind, command.mode, public_id, command.channel, secret)
        self.holdings.append(holding)
        return holding

    def rotate(
        self,
        ago: int,
        by: Person,
        holding: Holding,
        why: str,
        *,
        overlap: timedelta = timedelta(days=7),
        login: str | None = None,
    ) -> None:
        """A new secret. With another login it takes effect at once."""
        credential = {
            "credential_id": holding.id,
            "kind": holding.kind,
            "mode": holding.mode,
            "public_id": holding.public_id,
        }
        command, holding.secret = issue_rotation(
            self._digests,
            self.context(ago, by, why),
            credential,
            login=login,
            overlap=timedelta(0) if login else overlap,
        )
        self.note(command)
        holding.versions += 1
        holding.public_id = login or holding.public_id

    def revoke(
        self,
        ago: int,
        by: Person,
        holding: Holding,
        because: RevocationReason,
        why: str,
        *,
        effective_at: datetime | None = None,
    ) -> None:
        """The end, or the announcement of it."""
        self.note(
            RevokeCredential(
                context=self.context(ago, by, why),
                credential_id=holding.id,
                revocation_reason=because,
                effective_at=effective_at,
            )
        )

    def use(self, holding: Holding, at: datetime) -> None:
        """Its newest secret was seen, and not since."""
        self.uses.append(Use(holding.id, holding.versions, at))

    def use_today(self, holding: Holding) -> None:
        """Its newest secret was seen within the last hours."""
        self.use(holding, self.now - timedelta(minutes=self.draw.randrange(1, 360)))
