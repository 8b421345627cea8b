"""Bundles: what an auditor is handed proves itself, and every change of it is noticed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from api.policies import auditors_policy
from api.sealing import issue_sealing_key
from api.wiring import Services
from ledger.bulk_revocation import CREDENTIALS_MAX
from ledger.commands import EraseCredential, RequestExport, RevokeCredential
from ledger.service import DESTROYS_DATA_KEY, EXPORT
from ledger.store import log
from ledger.store.codec import topic_of
from ledger.store.log import READ_BYTES_MAX
from ledger.tlog import checkpoints, heads, notes
from ledger.tlog.bundle import ERASURES
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.heads import Head
from ledger.tlog.merkle import leaf_hash
from ledger.tlog.notes import Algorithm, SignerKey
from ledger.tlog.policy import Policy
from ledger.tlog.report import Verdict
from ledger.tlog.root_log import verify_root_log
from ledger.tlog.verifying import verify
from ledger.values import EmailAddress, Role
from projections.sealed import exporting, reading
from projections.sealed.checking import check
from projections.sealed.evidence import root_entries
from projections.sealed.exporting import SealedExport, find_sealed, write_bundle
from projections.sealed.signing import signer_key
from projections.sealed.trees import INSTALLATION, ROOT, origin_of
from tests import given
from tests.projections.test_sealing import Sealing, sealing, some_events


def policy_of(by_hand: Sealing, organisation: UUID) -> Policy:
    """The policy that the operator hands out now."""
    return auditors_policy(by_hand.services, by_hand.connection, by_hand.log, (ROOT, organisation))


def an_export(by_hand: Sealing, organisation: UUID | None, **asked: Any) -> SealedExport:
    """An export that was asked for, and sealed."""
    services = by_hand.services
    command = RequestExport(
        context=given.context(reason="audit of the year"), export_id=uuid7(), organisation_id=organisation, **asked
    )
    export = services.ledger.handle(command).state
    by_hand.seal()
    found = find_sealed(services.log, by_hand.connection, export)
    assert found is not None
    return found


def a_bundle(by_hand: Sealing, export: SealedExport) -> list[bytes]:
    """Its lines as the database makes them now."""
    return list(BytesIO(b"".join(write_bundle(by_hand.services.log, export))))


def test_a_bundle_proves_itself(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 3)
    with sealing(services) as by_hand:
        report = verify(a_bundle(by_hand, an_export(by_hand, organisation)), policy_of(by_hand, organisation))
    assert (report.verdict, report.findings) == (Verdict.OK, [])
    assert report.leaves == report.payloads == 8


def test_a_bundle_leads_to_the_root_checkpoint_that_witnesses_cosigned(services: Services) -> None:
    witness = SignerKey("w.example/w1", Algorithm.COSIGNATURE, b"\x07" * 32)
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation)
        trusted = policy_of(by_hand, organisation)
        asking = replace(trusted, witnesses={"w1": witness.verifier}, quorum="w1")
        assert verify(a_bundle(by_hand, export), asking).verdict is Verdict.UNWITNESSED
        given.witnessed(services, witness)
        some_events(services, organisation)
        by_hand.seal()
        assert verify(a_bundle(by_hand, export), asking).verdict is Verdict.OK
        # A later export is not in what they cosigned yet.
        assert verify(a_bundle(by_hand, an_export(by_hand, organisation)), asking).verdict is Verdict.UNWITNESSED


@pytest.mark.parametrize(("chunk", "at_once"), [(1, 1), (4, 2), (6, 4), (100, 3)])
def test_a_bundle_goes_on_at_any_leaf_however_many_are_read_at_once(
    services: Services, monkeypatch: pytest.MonkeyPatch, chunk: int, at_once: int
) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 3)
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation)
        whole = a_bundle(by_hand, export)
    monkeypatch.setattr(exporting, "CHUNK_LEAVES", chunk)
    monkeypatch.setattr(exporting, "READ_LEAVES", at_once)
    opening = next(number for number, line in enumerate(whole) if line.startswith(b'{"type":"leaf"'))
    assert b"".join(write_bundle(services.log, export)) == b"".join(whole)
    for first in range(1, export.manifest.size + 1):
        before, rest = b"".join(whole[: opening + first]), b"".join(whole[opening + first :])
        assert b"".join(write_bundle(services.log, export, first)) == rest
        assert b"".join(write_bundle(services.log, export, first, sha256(before))) == rest


@pytest.mark.parametrize(
    "asked",
    [{}, {"personal": True}, {"topics": ("bulk_revocation",), "personal": True}, {"topics": ("credential",)}],
    ids=["all", "personal", "filtered", "others"],
)
def test_a_bundle_is_read_by_bytes_where_events_are_large_and_is_the_same(
    services: Services, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    organisation = given.an_organisation(services)
    for _ in range(15):
        some_events(services, organisation)
        large(services, organisation)
    with sealing(services) as by_hand:
        export, held = an_export(by_hand, organisation, **asked), list[int]()
        whole = b"".join(counted(write_bundle(by_hand.services.log, export), held))
        assert verify(BytesIO(whole), policy_of(by_hand, organisation)).verdict is Verdict.OK
        assert max(held) < READ_BYTES_MAX + 500_000  # one event more, as none is cut in two
        for bytes_max, large_bytes in ((1, 1), (1, 2_000), (2**30, 2_000)):
            monkeypatch.setattr(exporting, "LARGE_BYTES", large_bytes)
            monkeypatch.setattr(log, "READ_BYTES_MAX", bytes_max)
            assert b"".join(write_bundle(by_hand.services.log, export)) == whole


def large(services: Services, organisation: UUID) -> UUID:
    """An event of 390 kilobytes: the revocation of ten thousand credentials was confirmed."""
    credentials = (uuid7() for _ in range(CREDENTIALS_MAX))
    return given.a_bulk_revocation(services, organisation, *credentials, contact_email=EmailAddress("ada@example.com"))


def counted(pieces: Iterator[bytes], lengths: list[int]) -> Iterator[bytes]:
    """The same pieces; their lengths are noted."""
    for piece in pieces:
        lengths.append(len(piece))
        yield piece


@pytest.mark.parametrize("asked", [{"topics": ("credential",)}, {}], ids=["filtered", "all"])
def test_a_bundle_of_a_log_that_was_tampered_with_is_the_same_however_few_are_read_at_once(
    services: Services, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 10)
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation, **asked)
        by_hand.tamper(
            "DELETE FROM ledger_events WHERE notification_id IN "
            "(SELECT position FROM sealed_leaf WHERE tree = %s AND leaf_index IN (2, 5, 6, 20))",
            organisation,
        )
        by_hand.tamper(  # leaves 10 to 13 stand for events in the reverse order
            "UPDATE sealed_leaf l SET position = o.position FROM sealed_leaf o WHERE l.tree = %s AND o.tree = l.tree "
            "AND l.leaf_index BETWEEN 10 AND 13 AND o.leaf_index = 23 - l.leaf_index",
            organisation,
        )
        whole = a_bundle(by_hand, export)
        report = verify(whole, policy_of(by_hand, organisation))
        assert [one.index for one in report.findings if one.verdict is Verdict.MISSING] == [2, 5, 6, 20]
        assert [one.index for one in report.findings if one.verdict is Verdict.TAMPERED] == [10, 11, 12, 13]
        for bytes_max, large_bytes in ((1, 1), (1_500, 700), (3_000, 1), (2**22, 1)):
            monkeypatch.setattr(exporting, "LARGE_BYTES", large_bytes)
            monkeypatch.setattr(log, "READ_BYTES_MAX", bytes_max)
            assert a_bundle(by_hand, export) == whole


# --- the root log ----------------------------------------------------------------------------------------------------


def test_a_bundle_opens_every_head_of_its_organisation_and_none_of_another(services: Services) -> None:
    organisation, other = given.an_organisation(services), given.an_organisation(services, "Other")
    with sealing(services) as by_hand:
        for _ in range(3):
            some_events(services, other)
            some_events(services, organisation)
            by_hand.seal()
        bundle = a_bundle(by_hand, an_export(by_hand, organisation))
        report = verify(bundle, policy_of(by_hand, organisation))
        told = reading.find_tree(by_hand.connection, other)
        entries = list(root_entries(by_hand.services.store))
    assert report.verdict is Verdict.OK
    assert report.label_pinned
    assert report.entered is not None
    assert len(report.entered) == 4
    assert told is not None
    assert not any(text.encode() in line for line in bundle for text in (str(other), told.label))
    verify_root_log(report, entries)
    assert (report.verdict, report.later) == (Verdict.OK, 0)


def test_a_second_head_of_the_organisation_is_noticed(services: Services) -> None:
    """The operator signs another history under the label of the organisation, and the root log holds both."""
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        tree = reading.find_tree(by_hand.connection, organisation)
        assert tree is not None
        other = Checkpoint(origin_of(by_hand.log.base, organisation), 1, bytes(32))
        entered(by_hand, organisation, tree.label, other)
        kept_back = entered(by_hand, UUID(int=7), tree.label, other)
        export = an_export(by_hand, organisation)
        believed = policy_of(by_hand, organisation)
        report = verify(a_bundle(by_hand, export), believed)
        assert report.verdict is Verdict.FORK
        by_hand.tamper(
            "UPDATE sealed_head SET tree = %s WHERE tree = %s AND root = %s", UUID(int=7), organisation, bytes(32)
        )
        report = verify(a_bundle(by_hand, export), believed)
        assert report.findings == []  # neither is shown
        verify_root_log(report, root_entries(by_hand.services.store))
        assert [finding.verdict for finding in report.findings] == [Verdict.FORK] * 2
        assert f"entry {kept_back} of the root log" in report.findings[-1].text


def entered(by_hand: Sealing, tree: UUID, label: str, head: Checkpoint) -> int:
    """Enter a head into the root log as the sealer does, and sign it; returns where it is."""
    connection = by_hand.connection
    root = reading.find_tree(connection, ROOT)
    assert root is not None
    entry = heads.encode(Head(label, heads.head_digest(bytes(16), checkpoints.encode(head))))
    connection.execute(
        "INSERT INTO sealed_head (leaf_index, tree, origin, size, root, salt, entry) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (root.size, tree, head.origin, head.size, head.root, bytes(16), entry),
    )
    root.frontier.append(leaf_hash(entry))
    note = checkpoints.encode(Checkpoint(origin_of(by_hand.log.base, ROOT), root.size, root.frontier.root()))
    key = signer_key(by_hand.services.keyring, by_hand.log, by_hand.log.keys[-1], ROOT)
    connection.execute(
        "UPDATE sealed_tree SET size = %s, frontier = %s, signed_size = %s, checkpoint = %s WHERE tree = %s",
        (root.size, b"".join(root.frontier.hashes), root.size, notes.sign(note, [key]).decode(), ROOT),
    )
    by_hand.signer.memory.remember([(origin_of(by_hand.log.base, ROOT), root.frontier)])
    return root.size - 1


def test_what_concerns_no_organisation_proves_itself_too(services: Services) -> None:
    given.an_organisation(services)
    given.an_operator(services, Role.ADMINISTRATOR)
    with sealing(services) as by_hand:
        export = an_export(by_hand, None, topics=("operator", "sealed_log"))
        report = verify(a_bundle(by_hand, export), policy_of(by_hand, INSTALLATION))
    assert (report.verdict, report.findings) == (Verdict.OK, [])
    assert report.payloads >= 3
    assert report.label_pinned


# --- erased ----------------------------------------------------------------------------------------------------------


def test_what_was_erased_after_an_export_ended_is_shown_with_its_erasure(services: Services) -> None:
    organisation = given.an_organisation(services)
    receipt, _ = given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipt.id))
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation, personal=True)
        assert verify(a_bundle(by_hand, export), policy_of(by_hand, organisation)).verdict is Verdict.OK
        services.ledger.handle(EraseCredential(context=given.context(), credential_id=receipt.id))
        by_hand.seal()
        some_events(services, organisation)
        by_hand.seal()
        report = verify(a_bundle(by_hand, export), policy_of(by_hand, organisation))
    assert report.verdict is Verdict.ERASED, report.findings


def test_a_key_that_was_destroyed_without_an_erasure_is_no_erasure(services: Services) -> None:
    organisation = given.an_organisation(services)
    receipt, _ = given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation, personal=True)
        by_hand.tamper("DELETE FROM ledger_data_keys WHERE aggregate_id = %s", receipt.id)
        report = verify(a_bundle(by_hand, export), policy_of(by_hand, organisation))
    assert report.verdict is Verdict.TAMPERED
    assert "no erasure" in report.findings[-1].text


def test_what_destroys_a_data_key_is_what_the_verifier_takes_for_an_erasure() -> None:
    assert {topic_of(event) for event in DESTROYS_DATA_KEY} == ERASURES


# --- who asked -------------------------------------------------------------------------------------------------------


def test_a_filtered_bundle_proves_who_asked_for_it(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 2)
    with sealing(services) as by_hand:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        export = an_export(by_hand, organisation, topics=("operator",), aggregates=(organisation,), begin=moment)
        bundle = a_bundle(by_hand, export)
        report = verify(bundle, policy_of(by_hand, organisation))
        assert (report.verdict, report.payloads) == (Verdict.OK, 1)
        changed = [bundle[0].replace(b"audit of the year", b"audit of a month"), *bundle[1:]]
        report = verify(changed, policy_of(by_hand, organisation))
    assert report.verdict is Verdict.TAMPERED
    assert report.findings[0].text.endswith(": reason")


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", [timedelta(0), timedelta(days=30)])
def test_an_export_of_before_a_rotation_is_believed_by_the_policies_of_after_it(
    services: Services, overlap: timedelta
) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation)
        before, kept = policy_of(by_hand, organisation), a_bundle(by_hand, export)
        services.ledger.handle(issue_sealing_key(services.keyring, given.context(), overlap=overlap))
        state = services.ledger.load(EXPORT, UUID(export.manifest.export))
        assert find_sealed(services.log, by_hand.connection, state) is None  # nothing is signed by the newest key yet
        by_hand.seal()
        again = find_sealed(services.log, by_hand.connection, state)
        assert again is not None
        now, bundle = policy_of(by_hand, organisation), a_bundle(by_hand, again)
        assert len(now.logs) == (4 if overlap else 2)
        assert verify(bundle, now).verdict is Verdict.OK
        newest = replace(now, logs=tuple(key for key in now.logs if key not in before.logs))
        assert verify(bundle, newest).verdict is Verdict.OK
        assert (verify(bundle, before).verdict is Verdict.OK) == bool(overlap)
        assert (verify(kept, now).verdict is Verdict.OK) == bool(overlap)
        found = find_sealed(services.log, by_hand.connection, state)
        assert found == again  # its end is fixed again


# --- when ------------------------------------------------------------------------------------------------------------


def test_an_event_that_was_recorded_as_of_long_ago_is_told(services: Services) -> None:
    organisation = given.an_organisation(services)
    (first,) = some_events(services, organisation)
    some_events(services, organisation)
    long_ago = given.context(datetime.now(UTC) - timedelta(days=90))
    services.ledger.handle(RevokeCredential(context=long_ago, credential_id=first))
    with sealing(services) as by_hand:
        report = verify(a_bundle(by_hand, an_export(by_hand, organisation)), policy_of(by_hand, organisation))
        found = dict(check(services.log, by_hand.log, by_hand.signer.memory, (), organisation))
    for one in (report, found[origin_of(by_hand.log.base, organisation)]):
        assert one.verdict is Verdict.BACKDATED
        assert "credential.revoked" in one.findings[0].text
