"""The stored bytes of one sample of every event, as they were when the event was first committed.

A file here is named after the topic it holds and is never changed: proofs cover stored bytes, so what was once written
must be read the same for ever. Where an event got a field at its end since, a file `<topic>~2.json` holds how it is
written now, which is the older with something added and nothing else. `python -m tests.golden` writes what is missing.
"""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.events import (
    AccessReviewRequested,
    AccountClosed,
    AccountDescribed,
    AccountOpened,
    ApplicationApisConnected,
    ApplicationArchived,
    ApplicationDescribed,
    ApplicationRegistered,
    BulkRevocationAdvanced,
    BulkRevocationErased,
    BulkRevocationFinished,
    BulkRevocationStarted,
    CatalogueChanged,
    Context,
    CredentialCreated,
    CredentialDescribed,
    CredentialErased,
    CredentialOverlapEnded,
    CredentialResumed,
    CredentialRevoked,
    CredentialRotated,
    CredentialScopesFixed,
    CredentialSuspended,
    CredentialWhitelisted,
    Event,
    ExportRequested,
    OperatorEnrolled,
    OperatorErased,
    OperatorRemoved,
    OperatorRolesChanged,
    OperatorTokenOverlapEnded,
    OperatorTokenRotated,
    OrganisationRegistered,
    OrganisationRenamed,
    OrganisationRetentionChanged,
    Recorded,
    SealedLogKeyRotated,
    SealedLogOpened,
    SealedLogRestoreDeclared,
    SigningKeyRotated,
    StoredSecret,
    WebhookEndpointDescribed,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRegistered,
    WebhookEndpointRemoved,
    WebhookEndpointSecretRotated,
)
from ledger.permissions import Api, Entity, Group, Permission
from ledger.store.keys import DataKey
from ledger.values import (
    AccessLevel,
    AccountKind,
    Action,
    Channel,
    Environment,
    Kind,
    Mode,
    RevocationReason,
    Role,
    SigningAlgorithm,
    Via,
)

DIRECTORY = Path(__file__).parent
ORGANISATION = UUID("0197a000-0000-7000-8000-000000000001")
AGGREGATE = UUID("0197a000-0000-7000-8000-000000000002")
DATA_KEY = DataKey(AESGCM(bytes(range(32))))

AT = datetime(2026, 3, 1, 9, 30, 15, 123456, tzinfo=UTC)
LATER = datetime(2026, 4, 1, tzinfo=UTC)
CONTEXT = Context(AT, "operator:0197a000-0000-7000-8000-000000000003", Via.API, "req-1", "ticket “7”", "203.0.113.9")
SECRET = StoredSecret(2, "hmac-sha256", "0123456789abcdef", "ab" * 32, "wxyz")
PASSWORD = StoredSecret(1, "argon2id", "", "")
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA"

# Every field holds something, so that a field that is dropped, renamed or written otherwise shows.
SAMPLES: tuple[Event, ...] = (
    OrganisationRegistered(CONTEXT, "Zoë & Söhne"),
    OrganisationRenamed(CONTEXT, "Zoë"),
    OrganisationRetentionChanged(CONTEXT, 90),
    CatalogueChanged(
        CONTEXT,
        organisation_id=ORGANISATION,
        groups=(
            Group(
                "merchant",
                "Händler",
                (
                    Entity(
                        "customer",
                        "Customer",
                        (
                            Permission(Action.VIEW, "View customer", (Mode.LIVE, Mode.TEST)),
                            Permission(Action.EDIT, "Edit customer", (Mode.TEST,)),
                        ),
                    ),
                ),
            ),
        ),
        apis=(Api("customers", "Customers", "Customer records.", ("customer:edit", "customer:view")),),
    ),
    OperatorEnrolled(
        CONTEXT,
        name="Ada Lovelace",
        email="ada@example.com",
        organisation_id=ORGANISATION,
        roles=(Role.ADMINISTRATOR, Role.VERIFIER),
        production=True,
        secret=SECRET,
        issuer="https://login.example.com",
        subject="248289761001",
    ),
    OperatorRolesChanged(CONTEXT, (Role.AUDITOR, Role.VIEWER), production=False),
    OperatorTokenRotated(CONTEXT, SECRET, LATER),
    OperatorTokenOverlapEnded(CONTEXT, 2),
    OperatorRemoved(CONTEXT),
    OperatorErased(CONTEXT),
    AccountOpened(
        CONTEXT,
        organisation_id=ORGANISATION,
        kind=AccountKind.SUB,
        parent_id=UUID("0197a000-0000-7000-8000-000000000007"),
        name="Zoë & Söhne",
        reference="C-10017",
        opened_on=date(2023, 6, 5),
    ),
    AccountDescribed(CONTEXT, "Zoë & Töchter", "C-10018"),
    AccountClosed(CONTEXT),
    ApplicationRegistered(
        CONTEXT,
        organisation_id=ORGANISATION,
        account_id=UUID("0197a000-0000-7000-8000-000000000004"),
        title="Ledger sync",
        description="two\nlines",
    ),
    ApplicationDescribed(CONTEXT, "Ledger sync 2", "nightly"),
    ApplicationApisConnected(CONTEXT, ("customers", "statements")),
    ApplicationArchived(CONTEXT),
    CredentialCreated(
        CONTEXT,
        organisation_id=ORGANISATION,
        account_id=UUID("0197a000-0000-7000-8000-000000000004"),
        application_id=UUID("0197a000-0000-7000-8000-000000000005"),
        kind=Kind.CHANNEL_LOGIN,
        public_id="ak_live_1",
        login="ada.l",
        mode=Mode.LIVE,
        environment=Environment.PRODUCTION,
        channel=Channel.WEB_SERVICE,
        name="Billing export",
        description="two\nlines",
        contact_email="dev@example.com",
        labels={"team": "billing"},
        access_level=AccessLevel.FINE_GRAINED,
        secret=PASSWORD,
        password_hash=PASSWORD_HASH,
        expires_at=LATER,
        supersedes=UUID("0197a000-0000-7000-8000-000000000006"),
        imported_from="vault",
        channel_slot=3,
    ),
    CredentialScopesFixed(CONTEXT, ("customer:edit", "customer:view"), 1),
    CredentialWhitelisted(CONTEXT, ("192.0.2.0/24", "2001:db8::/32")),
    CredentialRotated(CONTEXT, SECRET, PASSWORD_HASH, LATER, "ada.k"),
    CredentialOverlapEnded(CONTEXT, 1),
    CredentialRevoked(CONTEXT, RevocationReason.COMPROMISED, LATER),
    CredentialSuspended(CONTEXT),
    CredentialResumed(CONTEXT),
    CredentialDescribed(CONTEXT, "Export", "nightly", "ops@example.com", {"a": "1", "b": "2"}),
    CredentialErased(CONTEXT),
    BulkRevocationStarted(
        CONTEXT,
        organisation_id=ORGANISATION,
        contact_email="dev@example.com",
        selection={"kind": "api_key", "mode": "live"},
        revocation_reason=RevocationReason.OWNER_LEFT,
        digest="cd" * 32,
        credential_ids=(
            UUID("0197a000-0000-7000-8000-000000000007"),
            UUID("0197a000-0000-7000-8000-000000000008"),
            UUID("0197a000-0000-7000-8000-000000000009"),
        ),
    ),
    BulkRevocationAdvanced(CONTEXT, revoked=2, skipped=1),
    BulkRevocationFinished(CONTEXT, revoked=2, skipped=1),
    BulkRevocationErased(CONTEXT),
    WebhookEndpointRegistered(
        CONTEXT,
        organisation_id=ORGANISATION,
        url="https://hooks.example.com/keyledger?team=billing",
        description="two\nlines",
        event_types=("credential.revoked", "credential.rotated"),
        signing_secret="whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    ),
    WebhookEndpointDescribed(CONTEXT, "https://hooks.example.com/2", "nightly", ("credential.revoked",)),
    WebhookEndpointSecretRotated(CONTEXT, "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", LATER),
    WebhookEndpointDisabled(CONTEXT),
    WebhookEndpointEnabled(CONTEXT),
    WebhookEndpointRemoved(CONTEXT),
    SigningKeyRotated(
        CONTEXT,
        kid="0197a000-0000-7000-8000-00000000000a",
        algorithm=SigningAlgorithm.EDDSA,
        master_key_id="0123456789abcdef",
        public_jwk={"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        previous_expires_at=LATER,
    ),
    SealedLogOpened(
        CONTEXT,
        name="keys.example.com",
        kid="0197a000-0000-7000-8000-00000000000b",
        master_key_id="0123456789abcdef",
        public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    ),
    SealedLogKeyRotated(
        CONTEXT,
        kid="0197a000-0000-7000-8000-00000000000c",
        master_key_id="0123456789abcdef",
        public_key="PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
        previous_expires_at=LATER,
    ),
    SealedLogRestoreDeclared(CONTEXT, 2, ("keys.example.com/root 12 CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",)),
    ExportRequested(
        CONTEXT,
        organisation_id=ORGANISATION,
        begin=CONTEXT.at,
        end=LATER,
        aggregates=(AGGREGATE,),
        topics=("credential", "account.closed"),
        personal=True,
    ),
    AccessReviewRequested(CONTEXT, organisation_id=ORGANISATION, as_of=CONTEXT.at),
)


def placed(event: Event) -> Recorded:
    """The sample in its place: the third event of its aggregate."""
    return Recorded(AGGREGATE, 3, ORGANISATION, event)


def files_of(topic: str) -> list[Path]:
    """The golden files of a topic, oldest first; empty for one that was never pinned."""
    numbered = ((re.fullmatch(rf"{re.escape(topic)}(?:~(\d+))?", file.stem), file) for file in DIRECTORY.glob("*.json"))
    return [file for _, file in sorted((int(found[1] or 1), file) for found, file in numbered if found)]


def topic_in(file: Path) -> str:
    """The topic whose bytes a golden file holds."""
    return file.stem.partition("~")[0]


def extends(newer: Any, older: Any) -> bool:
    """Whether a decoded JSON value is another with nothing but fields added at the end of its objects."""
    if isinstance(newer, dict) and isinstance(older, dict):
        return list(newer)[: len(older)] == list(older) and all(extends(newer[name], older[name]) for name in older)
    return bool(newer == older)
