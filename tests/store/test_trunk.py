"""The thinnest complete path: create, find, revoke, replay."""

from datetime import UTC, datetime

import pytest

from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.errors import CredentialRevoked
from ledger.values import RevocationReason
from ledger.verification import Code, Question, decide
from projections.credential_status import find_credential, find_for_verification
from tests import given


def ask(services: Services, secret: str) -> Code:
    digests = services.keyring.digests.candidates(secret)
    _, candidates = find_for_verification(services.store, [], digests, None)
    return decide(Question(secret=secret, digests=digests, at=datetime.now(UTC)), candidates).code


def test_a_created_credential_is_good_until_it_is_revoked_and_its_history_tells(services: Services) -> None:
    organisation = given.an_organisation(services)
    receipt, secret = given.a_credential(services, organisation)
    assert ask(services, secret) is Code.VALID

    revoke = RevokeCredential(
        context=given.context(reason="left the building"),
        credential_id=receipt.id,
        revocation_reason=RevocationReason.OWNER_LEFT,
    )
    services.ledger.handle(revoke)
    assert ask(services, secret) is Code.REVOKED
    with pytest.raises(CredentialRevoked):
        services.ledger.handle(revoke)

    history = services.log.history(receipt.id).recorded
    assert [r.event.TOPIC for r in history] == [
        "credential.created",
        "credential.scopes_fixed",
        "credential.revoked",
    ]
    assert history[-1].event.context.reason == "left the building"
    assert [r.position for r in history] == [2, 3, 4]


def test_a_column_that_a_migration_adds_stops_nobody_who_was_connected_before(services: Services) -> None:
    """Old workers go on while the schema moves: their prepared statements are made anew."""
    organisation = given.an_organisation(services)
    receipt, _ = given.a_credential(services, organisation)
    assert find_credential(services.store, organisation, receipt.id)
    with services.store.connect() as connection:
        for change in ("ADD COLUMN later integer", "DROP COLUMN later"):
            connection.execute(f"ALTER TABLE credential_status {change}")
            for _ in range(services.settings.pool_size_max):
                assert find_credential(services.store, organisation, receipt.id)
