"""The one door for writing: `Ledger.handle(command)`.

A command is routed by a literal table to its aggregate's fold and its decide function. What is decided is recorded in
one transaction with the rows of the inline views; then, and only then, the caller has a receipt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from ledger import (
    access_review,
    account,
    application,
    bulk_revocation,
    catalogue,
    credential,
    export,
    operator,
    organisation,
    sealed_log,
    signing_key,
    webhook_endpoint,
)
from ledger.channel_slots import take_slot
from ledger.commands import (
    AdvanceBulkRevocation,
    ArchiveApplication,
    ChangeOperatorRoles,
    CloseAccount,
    Command,
    ConnectApis,
    CreateCredential,
    DeclareRestore,
    DescribeAccount,
    DescribeApplication,
    DescribeCredential,
    DescribeWebhookEndpoint,
    DisableWebhookEndpoint,
    EnableWebhookEndpoint,
    EndOverlap,
    EndTokenOverlap,
    EnrolOperator,
    EraseBulkRevocation,
    EraseCredential,
    EraseOperator,
    FixScopes,
    OpenAccount,
    OpenSealedLog,
    RegisterApplication,
    RegisterOrganisation,
    RegisterWebhookEndpoint,
    RemoveOperator,
    RemoveWebhookEndpoint,
    RenameOrganisation,
    RequestAccessReview,
    RequestExport,
    ResumeCredential,
    RetirePermissions,
    RevokeCredential,
    RotateOperatorToken,
    RotateSealingKey,
    RotateSecret,
    RotateSigningKey,
    RotateWebhookEndpointSecret,
    SetAllowlist,
    SetCatalogue,
    SetRetention,
    StartBulkRevocation,
    SuspendCredential,
)
from ledger.errors import (
    AlreadyExists,
    CommandInFlight,
    InvalidValue,
    LedgerError,
    NameAlreadyClaimed,
    NotFound,
    StaleVersion,
)
from ledger.events import (
    BulkRevocationErased,
    CredentialErased,
    Event,
    OperatorErased,
    Recorded,
    WebhookEndpointRemoved,
)
from ledger.store.erasures import ErasureList, erasures_in
from ledger.store.keys import DataKey, WrappedKey
from ledger.store.log import EventLog, History
from ledger.store.recorder import Append, Claim, IdempotencyEntry, InlineTable, Row
from ledger.values import AccountKind

# How often a command is decided anew because someone else was faster. Each time somebody did get through, so this many
# losses in a row mean a load on one aggregate that waiting would not cure.
ATTEMPTS_MAX = 8

State = Any


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How one kind of aggregate is named, folded and identified in its commands.

    One that is `always_there` has a default before its first event, so any of its commands may be the first.
    """

    name: str
    evolve: Callable[[Any, Recorded], State]
    id_field: str
    organisation_of: Callable[[Any], UUID | None]
    has_personal_data: bool
    always_there: bool = False


ORGANISATION = Aggregate("organisation", organisation.evolve, "organisation_id", lambda state: state.id, False)
CATALOGUE = Aggregate(
    "catalogue", catalogue.evolve, "catalogue_id", lambda state: state.organisation_id, False, always_there=True
)
OPERATOR = Aggregate("operator", operator.evolve, "operator_id", lambda state: state.organisation_id, True)
ACCOUNT = Aggregate("account", account.evolve, "account_id", lambda state: state.organisation_id, False)
APPLICATION = Aggregate("application", application.evolve, "application_id", lambda state: state.organisation_id, False)
CREDENTIAL = Aggregate("credential", credential.evolve, "credential_id", lambda state: state.organisation_id, True)
BULK_REVOCATION = Aggregate(
    "bulk_revocation", bulk_revocation.evolve, "run_id", lambda state: state.organisation_id, True
)
WEBHOOK_ENDPOINT = Aggregate(
    "webhook_endpoint", webhook_endpoint.evolve, "endpoint_id", lambda state: state.organisation_id, True
)
SIGNING_KEY = Aggregate(
    "signing_key", signing_key.evolve, "signing_key_id", lambda _state: None, False, always_there=True
)
EXPORT = Aggregate("export", export.evolve, "export_id", lambda state: state.organisation_id, False)
ACCESS_REVIEW = Aggregate(
    "access_review", access_review.evolve, "access_review_id", lambda state: state.organisation_id, False
)
SEALED_LOG = Aggregate("sealed_log", sealed_log.evolve, "sealed_log_id", lambda _state: None, False, always_there=True)

# For every command: the aggregate it is about, the function that decides, and whether it begins a new aggregate.
ROUTES: Mapping[type[Command], tuple[Aggregate, Callable[[Any, Any], list[Event]], bool]] = {
    RegisterOrganisation: (ORGANISATION, organisation.register_organisation, True),
    RenameOrganisation: (ORGANISATION, organisation.rename_organisation, False),
    SetRetention: (ORGANISATION, organisation.set_retention, False),
    SetCatalogue: (CATALOGUE, catalogue.set_catalogue, False),
    RetirePermissions: (CATALOGUE, catalogue.retire_permissions, False),
    EnrolOperator: (OPERATOR, operator.enrol_operator, True),
    ChangeOperatorRoles: (OPERATOR, operator.change_operator_roles, False),
    RotateOperatorToken: (OPERATOR, operator.rotate_operator_token, False),
    EndTokenOverlap: (OPERATOR, operator.end_token_overlap, False),
    RemoveOperator: (OPERATOR, operator.remove_operator, False),
    EraseOperator: (OPERATOR, operator.erase_operator, False),
    OpenAccount: (ACCOUNT, account.open_account, True),
    DescribeAccount: (ACCOUNT, account.describe_account, False),
    CloseAccount: (ACCOUNT, account.close_account, False),
    RegisterApplication: (APPLICATION, application.register_application, True),
    DescribeApplication: (APPLICATION, application.describe_application, False),
    ConnectApis: (APPLICATION, application.connect_apis, False),
    ArchiveApplication: (APPLICATION, application.archive_application, False),
    CreateCredential: (CREDENTIAL, credential.create_credential, True),
    FixScopes: (CREDENTIAL, credential.fix_scopes, False),
    RotateSecret: (CREDENTIAL, credential.rotate_secret, False),
    EndOverlap: (CREDENTIAL, credential.end_overlap, False),
    RevokeCredential: (CREDENTIAL, credential.revoke_credential, False),
    SuspendCredential: (CREDENTIAL, credential.suspend_credential, False),
    ResumeCredential: (CREDENTIAL, credential.resume_credential, False),
    SetAllowlist: (CREDENTIAL, credential.set_allowlist, False),
    DescribeCredential: (CREDENTIAL, credential.describe_credential, False),
    EraseCredential: (CREDENTIAL, credential.erase_credential, False),
    StartBulkRevocation: (BULK_REVOCATION, bulk_revocation.start_bulk_revocation, True),
    AdvanceBulkRevocation: (BULK_REVOCATION, bulk_revocation.advance_bulk_revocation, False),
    EraseBulkRevocation: (BULK_REVOCATION, bulk_revocation.erase_bulk_revocation, False),
    RegisterWebhookEndpoint: (WEBHOOK_ENDPOINT, webhook_endpoint.register_webhook_endpoint, True),
    DescribeWebhookEndpoint: (WEBHOOK_ENDPOINT, webhook_endpoint.describe_webhook_endpoint, False),
    RotateWebhookEndpointSecret: (WEBHOOK_ENDPOINT, webhook_endpoint.rotate_webhook_endpoint_secret, False),
    DisableWebhookEndpoint: (WEBHOOK_ENDPOINT, webhook_endpoint.disable_webhook_endpoint, False),
    EnableWebhookEndpoint: (WEBHOOK_ENDPOINT, webhook_endpoint.enable_webhook_endpoint, False),
    RemoveWebhookEndpoint: (WEBHOOK_ENDPOINT, webhook_endpoint.remove_webhook_endpoint, False),
    RotateSigningKey: (SIGNING_KEY, signing_key.rotate_signing_key, False),
    OpenSealedLog: (SEALED_LOG, sealed_log.open_sealed_log, False),
    RotateSealingKey: (SEALED_LOG, sealed_log.rotate_sealing_key, False),
    DeclareRestore: (SEALED_LOG, sealed_log.declare_restore, False),
    RequestExport: (EXPORT, export.request_export, True),
    RequestAccessReview: (ACCESS_REVIEW, access_review.request_access_review, True),
}

# What only takes access away must not wait for anything, and the sealed log's own commands are what may cure it. Nor
# must erasures: those that a restored backup lacks are made up for before anything is answered.
ALWAYS_ADMITTED = (
    RevokeCredential,
    SuspendCredential,
    RemoveOperator,
    EraseCredential,
    EraseBulkRevocation,
    EraseOperator,
    OpenSealedLog,
    RotateSealingKey,
    DeclareRestore,
)

# With these the key of an aggregate's personal fields is destroyed, and so are the answers that are kept for retries.
DESTROYS_DATA_KEY = (CredentialErased, BulkRevocationErased, OperatorErased, WebhookEndpointRemoved)

# Commands that begin something of an organisation's.
_OF_A_TENANT = (
    SetCatalogue
    | RetirePermissions
    | EnrolOperator
    | OpenAccount
    | RegisterApplication
    | CreateCredential
    | StartBulkRevocation
    | RegisterWebhookEndpoint
    | RequestExport
    | RequestAccessReview
)

RowsOf = Callable[[Any], Mapping[InlineTable, Sequence[Row]]]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a command was recorded: the aggregate's id and version, the newest event's position in the log.

    `state` is the aggregate as the command left it, `recorded` the command's own events in their places.
    """

    id: UUID
    version: int
    position: int
    state: Any
    recorded: Sequence[Recorded]


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What to remember of the request under its Idempotency-Key.

    `fingerprint` tells the request from others, and is kept under a key. `answer` makes the bytes to give to a retry
    from the states that the commands leave, one an argument; they are sealed before they are kept.
    """

    actor: str
    key: str
    fingerprint: bytes
    answer: Callable[..., bytes]


@dataclass(frozen=True, slots=True)
class Decision:
    """What one command changes: the aggregate as it will be, and the events that lead there, with their places."""

    aggregate: Aggregate
    begins: bool
    state: State
    recorded: Sequence[Recorded]
    data_key: DataKey | None
    new_data_key: WrappedKey | None
    slot_holder: UUID | None = None  # the dead credential whose channel slot is taken over

    @property
    def events(self) -> Sequence[Event]:
        """The events alone."""
        return [recorded.event for recorded in self.recorded]


class Ledger:
    """Handles commands for one process. `inline` names, for each type of state, the views written with its events.

    `admit` raises what forbids taking any command now, but for those of `ALWAYS_ADMITTED`. What is erased is entered
    into `erasures`.
    """

    def __init__(
        self,
        log: EventLog,
        inline: Mapping[type, RowsOf],
        admit: Callable[[], None] | None = None,
        erasures: ErasureList | None = None,
    ) -> None:
        self.log = log
        self._inline = inline
        self._admit = admit
        self._erasures = erasures
        self._organisations: set[UUID] = set()

    def handle(self, command: Command, idempotency: Idempotency | None = None) -> Receipt:
        """Decide on a command and record what was decided.

        Raises `NotFound`, whatever the decide function refuses (`NotAllowedNow`, `InvalidValue`), `StaleVersion` where
        the caller expected another version, and what `LedgerRecorder.append` raises.
        """
        (receipt,) = self.handle_all([command], idempotency)
        return receipt

    def handle_all(self, commands: Sequence[Command], idempotency: Idempotency | None = None) -> Sequence[Receipt]:
        """The same for several commands: all are recorded in one commit, or none.

        Each is decided on, and checked against, what those before it leave.
        """
        if self._admit is not None and not all(isinstance(command, ALWAYS_ADMITTED) for command in commands):
            self._admit()
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                decisions = self._decide_all(commands)
            except LedgerError:
                self._refuse_repetition(idempotency)
                raise
            try:
                return self._record(decisions, idempotency)
            except StaleVersion:
                if all(decision.begins for decision in decisions):
                    raise AlreadyExists(f"this id of a new {decisions[0].aggregate.name} is taken") from None
                if attempt == ATTEMPTS_MAX or any(command.expected_version is not None for command in commands):
                    raise
            except NameAlreadyClaimed as error:
                # Another key of the account was faster to a channel slot; there may be a further one.
                if attempt == ATTEMPTS_MAX or error.claim != credential.CHANNEL_SLOT:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def load(self, aggregate: Aggregate, aggregate_id: UUID) -> State:
        """The aggregate as its events leave it; `NotFound` where there is none."""
        state, _ = self._fold(aggregate, aggregate_id)
        if state is None:
            raise NotFound(aggregate.name)
        return state

    def _fold(self, aggregate: Aggregate, aggregate_id: UUID) -> tuple[State, DataKey | None]:
        return _folded(aggregate, self.log.history(aggregate_id))

    def _refuse_repetition(self, idempotency: Idempotency | None) -> None:
        """A command that was recorded a moment ago under the same key is what forbids its repetition: say that, and not
        that the credential is revoked already or at another version.
        """
        if idempotency is not None and self.log.datastore.rows(
            "SELECT 1 FROM ledger_idempotency WHERE actor = %s AND key = %s", (idempotency.actor, idempotency.key)
        ):
            raise CommandInFlight("a command with this Idempotency-Key was recorded just now") from None

    def _check_tenant(self, command: Command, decided: Mapping[UUID, State]) -> None:
        """What belongs to an organisation needs one that exists. Organisations never cease to."""
        if not isinstance(command, _OF_A_TENANT) or command.organisation_id is None:
            return
        if command.organisation_id not in self._organisations and command.organisation_id not in decided:
            self.load(ORGANISATION, command.organisation_id)
            if len(self._organisations) >= 100_000:  # some ten megabytes; forgetting costs one look-up each
                self._organisations.clear()
            self._organisations.add(command.organisation_id)

    def _check_account(self, command: Command, decided: Mapping[UUID, State]) -> None:
        """What is opened beneath an account, or hangs on one, finds it open, as far as can be seen now.

        One that is closed at the same moment is refused by whoever verifies: that rule does not depend on this check.
        """
        match command:
            case OpenAccount(kind=AccountKind.SUB, parent_id=UUID() as parent_id):
                parent = self._open_account(parent_id, command.organisation_id, "parent_id", decided)
                if parent.kind is not AccountKind.MASTER:
                    raise InvalidValue("parent_id", "is not a master account", "contradiction")
            case CreateCredential() | RegisterApplication() if command.account_id is not None:
                found = self._open_account(command.account_id, command.organisation_id, "account_id", decided)
                if found.parent_id is not None:
                    self._open_account(found.parent_id, command.organisation_id, "account_id", decided)

    def _open_account(
        self, account_id: UUID, organisation_id: UUID, field: str, decided: Mapping[UUID, State]
    ) -> account.Account:
        found = decided.get(account_id) or self._fold(ACCOUNT, account_id)[0]
        if not isinstance(found, account.Account) or found.organisation_id != organisation_id:
            raise InvalidValue(field, "is not an account of this organisation", "unknown_account")
        if found.closed_at is not None:
            raise InvalidValue(field, "is closed, or its master account is", "account_closed")
        return found

    def _decide_all(self, commands: Sequence[Command]) -> list[Decision]:
        known = self._read(commands) if len(commands) > 1 else {}
        decisions, decided = list[Decision](), dict[UUID, State]()
        for command in commands:
            decision = self._decide(command, known, decided)
            decisions.append(decision)
            decided[decision.state.id] = decision.state
            known[decision.state.id] = decision.state, decision.data_key
        return decisions

    def _read(self, commands: Sequence[Command]) -> dict[UUID, tuple[State, DataKey | None]]:
        """What the commands are about, read in one look; without what they begin and what there is not."""
        found: dict[UUID, tuple[State, DataKey | None]] = {}
        about = {}
        for command in commands:
            aggregate, _, begins = ROUTES[type(command)]
            if not begins:
                about[getattr(command, aggregate.id_field)] = aggregate
        for aggregate_id, history in self.log.histories_with_keys(list(about)).items():
            found[aggregate_id] = _folded(about[aggregate_id], history)
        return found

    def _decide(
        self, command: Command, known: Mapping[UUID, tuple[State, DataKey | None]], decided: Mapping[UUID, State]
    ) -> Decision:
        """What a command changes. `known` is what was read or decided of aggregates, `decided` are the states that
        commands before it in the same commit leave.
        """
        aggregate, decide, begins = ROUTES[type(command)]
        aggregate_id: UUID = getattr(command, aggregate.id_field)
        self._check_tenant(command, decided)
        self._check_account(command, decided)
        if aggregate_id in known:
            state, data_key = known[aggregate_id]
        else:  # a new aggregate's id is fresh: looking for its history would find nothing
            state, data_key = (None, None) if begins else self._fold(aggregate, aggregate_id)
        if state is None and not (begins or aggregate.always_there):
            raise NotFound(aggregate.name)
        version = 0 if state is None else state.version
        if command.expected_version is not None and command.expected_version != version:
            raise StaleVersion(command.expected_version, version)
        new_data_key: WrappedKey | None = None
        slot_holder: UUID | None = None
        if isinstance(command, CreateCredential):
            command, slot_holder = take_slot(self.log, command, decided)
        events = decide(state, command)
        if begins and aggregate.has_personal_data:
            data_key, new_data_key = self.log.keyring.new_data_key(aggregate_id)
        for number, event in enumerate(events, version + 1):
            state = aggregate.evolve(state, Recorded(aggregate_id, number, None, event))
        organisation_id = aggregate.organisation_of(state)
        recorded = [Recorded(aggregate_id, n, organisation_id, event) for n, event in enumerate(events, version + 1)]
        return Decision(aggregate, begins, state, recorded, data_key, new_data_key, slot_holder)

    def _record(self, decisions: Sequence[Decision], idempotency: Idempotency | None) -> Sequence[Receipt]:
        entry = self._entry(idempotency, [decision.state for decision in decisions])
        appends = [self._append(decision) for decision in decisions]
        appends[0] = replace(appends[0], idempotency=entry) if entry is not None else appends[0]
        receipts = []
        for decision, positions in zip(decisions, self.log.append_all(appends), strict=True):
            placed = [r._replace(position=position) for r, position in zip(decision.recorded, positions, strict=True)]
            state = decision.state
            receipts.append(Receipt(state.id, state.version, positions[-1], state, placed))
        if self._erasures is not None:
            self._erasures.remember(erasures_in(one for receipt in receipts for one in receipt.recorded))
        return receipts

    def _append(self, decision: Decision) -> Append:
        events = decision.events
        return Append(
            self.log.stored(decision.recorded, decision.data_key),
            decision.recorded[0].organisation_id,
            claims=_claims(decision),
            releases_claims=any(map(credential.releases_claims, events)),
            data_key=decision.new_data_key,
            destroys_data_key=any(isinstance(event, DESTROYS_DATA_KEY) for event in events),
            rows=self._inline[type(decision.state)](decision.state),
        )

    def _entry(self, idempotency: Idempotency | None, states: Sequence[State]) -> IdempotencyEntry | None:
        if idempotency is None:
            return None
        associated = f"{idempotency.actor}\n{idempotency.key}".encode()
        sealed = self.log.keyring.seal_answer(idempotency.answer(*states), associated)
        fingerprint = self.log.keyring.fingerprints(idempotency.fingerprint)[0]
        return IdempotencyEntry(idempotency.actor, idempotency.key, fingerprint, sealed)


def _claims(decision: Decision) -> list[Claim]:
    """The names that the events take. A slot is taken over from its dead holder; one's own name may be taken again."""
    own = None if decision.begins else decision.state.id
    return [
        Claim(claim, name, decision.slot_holder if claim == credential.CHANNEL_SLOT else own)
        for event in decision.events
        for claim, name in credential.claims_of(decision.state, event)
    ]


def _folded(aggregate: Aggregate, history: History) -> tuple[State, DataKey | None]:
    """The state and the data key of an aggregate; nothing for the id of another kind of thing."""
    if history.recorded and not history.recorded[0].event.TOPIC.startswith(f"{aggregate.name}."):
        return None, None
    return fold(aggregate, history.recorded), history.data_key


def fold(aggregate: Aggregate, recorded: Sequence[Recorded]) -> State:
    """The state that some history leaves."""
    state = None
    for one in recorded:
        state = aggregate.evolve(state, one)
    return state
