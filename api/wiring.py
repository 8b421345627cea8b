"""Putting the parts together for one process: the only place that knows them all."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from api.access_tokens import AccessTokens
from api.attempts import FailedAttempts
from ledger.access_review import AccessReview
from ledger.account import Account
from ledger.application import Application
from ledger.bulk_revocation import BulkRevocation
from ledger.catalogue import OrganisationCatalogue
from ledger.credential import Credential
from ledger.export import Export
from ledger.operator import Operator
from ledger.organisation import Organisation
from ledger.sealed_log import SealedLog
from ledger.service import Ledger, RowsOf
from ledger.settings import Settings
from ledger.signing_key import SigningKey
from ledger.store.datastore import LedgerDatastore
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.erasures import ErasureList
from ledger.store.keys import Keyring
from ledger.store.log import EventLog
from ledger.store.recorder import BatchStatistics
from ledger.webhook_endpoint import WebhookEndpoint
from projections import (
    account_status,
    application_status,
    bulk_revocation_status,
    catalogue_status,
    credential_status,
    operator_status,
    organisation_status,
    signing_key_status,
    webhook_endpoint_status,
)
from projections.catalogue_status import Catalogues
from projections.readings import ReadingRecorder
from projections.sealed.sealer import Admission
from projections.usage import UsageRecorder
from projections.verification_cache import VerificationCache
from projections.view import Rows


def without_rows(_state: object) -> Rows:
    """Of what is read by folding its few events."""
    return {}


INLINE_ROWS: Mapping[type, RowsOf] = {
    Organisation: organisation_status.rows_of,
    OrganisationCatalogue: catalogue_status.rows_of,
    Operator: operator_status.rows_of,
    Account: account_status.rows_of,
    Application: application_status.rows_of,
    Credential: credential_status.rows_of,
    BulkRevocation: bulk_revocation_status.rows_of,
    WebhookEndpoint: webhook_endpoint_status.rows_of,
    SigningKey: signing_key_status.rows_of,
    SealedLog: without_rows,
    AccessReview: without_rows,
    Export: without_rows,
}


@dataclass(frozen=True, slots=True)
class Services:
    """What the API, the console and the command line work with. `usage`, `cache` and `attempts` are there where
    verifications are answered, `tokens` and `readings` where requests are.
    """

    settings: Settings
    log: EventLog
    ledger: Ledger
    catalogues: Catalogues
    erasures: ErasureList
    usage: UsageRecorder | None = None
    cache: VerificationCache | None = None
    attempts: FailedAttempts | None = None
    readings: ReadingRecorder | None = None
    tokens: AccessTokens | None = None

    @property
    def store(self) -> LedgerDatastore:
        """The connections that queries read through."""
        return self.log.datastore

    @property
    def keyring(self) -> Keyring:
        """The keys that secrets are issued and recognised with."""
        return self.log.keyring


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The conninfo of the PostgreSQL to use: the one that the settings name, or the embedded one, started or joined."""
    if settings.database_url:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        yield server.conninfo


@contextmanager
def open_services(
    settings: Settings, conninfo: str, observe: Callable[[BatchStatistics], None] | None = None
) -> Iterator[Services]:
    """The services of one process, on a migrated database. Call after a fork.

    Raises `SettingsError`, `WrongMasterKey`, `MigrationError` and `StoreUnavailable`, each with what to do.
    """
    with EventLog(conninfo, settings, Keyring.from_settings(settings), observe) as log:
        admission, erasures = Admission(log.datastore, settings.seal_delay_max), ErasureList(settings.erasures_file)
        ledger = Ledger(log, INLINE_ROWS, admission, erasures)
        yield Services(settings, log, ledger, Catalogues(log), erasures)
