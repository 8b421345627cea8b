"""Whoever owns the database does to it what he likes, and an auditor notices: which verdict, and at which entry.

Each case is looked at twice: by `audit check`, which reads the database, and, where it shows there, in a bundle that
the tampered database exports.
"""

import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import pytest

from api.sealing import issue_sealing_key
from api.wiring import Services
from ledger.commands import EraseCredential, RevokeCredential
from ledger.sealed_log import SealedLog
from ledger.tlog import checkpoints, notes
from ledger.tlog.bundle import Seal, encode_seal, finish_seal, parse_seal
from ledger.tlog.merkle import Frontier, leaf_hash
from ledger.tlog.report import Known, Report, Verdict
from ledger.tlog.verifying import known_from, verify
from ledger.values import EmailAddress, RevocationReason
from projections.sealed import checking, signing
from projections.sealed.checking import check
from projections.sealed.exporting import checkpoint_of
from projections.sealed.integrating import entry_of, integrate
from projections.sealed.memory import SignerMemory
from projections.sealed.signing import Signer, signer_key
from projections.sealed.trees import ROOT, Connection, origin_of, write_tiles
from tests import given
from tests.audit.test_bundles import a_bundle, an_export, policy_of
from tests.projections.test_sealing import Sealing, backed_up, declared, restored, sealing, some_events
from tests.waiting import until


def looked_at(by_hand: Sealing, known: Sequence[Known] = (), organisation: UUID | None = None) -> dict[str, Report]:
    """What `audit check` finds, but for what is as it should be."""
    found = check(by_hand.services.log, by_hand.log, by_hand.signer.memory, known, organisation)
    return {origin: report for origin, report in found if report.findings}


def worst(found: dict[str, Report]) -> Verdict:
    return max((report.verdict for report in found.values()), default=Verdict.OK)


def test_an_untouched_ledger_is_ok(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 130)
    with sealing(services) as by_hand:
        by_hand.seal()
        some_events(services, organisation)  # not sealed yet, which is no fault
        assert looked_at(by_hand) == {}
        reports = dict(check(services.log, by_hand.log, None, (), organisation))
        assert reports[origin_of(by_hand.log.base, organisation)].payloads == 261


@dataclass(frozen=True)
class Case:
    """A statement, and what it is noticed as: by the check and in a bundle, there at which leaves."""

    statement: str
    checked: Verdict
    exported: Verdict
    leaves: tuple[int | None, ...]
    """Where the bundle's worst findings are; and the check's, unless it has `checked_leaves`."""
    checked_leaves: tuple[int | None, ...] | None = None


# The log is: registered (0), created and scopes fixed of three credentials (1 to 6), export requested (7).
# @3 stands for the position in the log of the event of leaf 3.
CASES: dict[str, Case] = {
    "an event edited": Case(
        "UPDATE ledger_events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'tester', 'nobody'), 'UTF8') "
        "WHERE notification_id = @3",
        Verdict.TAMPERED,
        Verdict.TAMPERED,
        (3,),
    ),
    "an event that is no JSON any more": Case(
        "UPDATE ledger_events SET state = '\\x00ff0a' WHERE notification_id = @3",
        Verdict.TAMPERED,
        Verdict.TAMPERED,
        (3,),
    ),
    "an event made one of another kind": Case(
        "UPDATE ledger_events SET topic = 'credential.revoked' WHERE notification_id = @3",
        Verdict.TAMPERED,
        Verdict.OK,  # the bundle has what was sealed: the leaf names the kind
        (3,),
    ),
    "an event given to another organisation": Case(
        "UPDATE ledger_events SET organisation_id = gen_random_uuid() WHERE notification_id = @3",
        Verdict.TAMPERED,
        Verdict.OK,
        (3,),
    ),
    "an event given to another credential": Case(
        "UPDATE ledger_events SET originator_id = '01a1fd80-ffd6-74a7-a0db-57fcfae1465b' WHERE notification_id = @3; "
        "UPDATE sealed_leaf SET aggregate_id = '01a1fd80-ffd6-74a7-a0db-57fcfae1465b' "
        "WHERE tree = %(tree)s AND leaf_index = 3",
        Verdict.TAMPERED,
        Verdict.OK,
        (3,),
    ),
    "an event made another version": Case(
        "UPDATE ledger_events SET originator_version = 99 WHERE notification_id = @4; "
        "UPDATE sealed_leaf SET aggregate_version = 99 WHERE tree = %(tree)s AND leaf_index = 4",
        Verdict.TAMPERED,
        Verdict.OK,
        (4,),
    ),
    "an event deleted": Case(
        "DELETE FROM ledger_events WHERE notification_id = @3",
        Verdict.MISSING,
        Verdict.MISSING,
        (3,),
    ),
    "two events in another order": Case(
        "UPDATE ledger_events e SET notification_id = -o.position FROM sealed_leaf o "
        "WHERE o.tree = %(tree)s AND e.notification_id + o.position = "
        "@3 + @4 AND e.notification_id IN (@3, @4); "
        "UPDATE ledger_events SET notification_id = -notification_id WHERE notification_id < 0",
        Verdict.TAMPERED,
        Verdict.TAMPERED,
        (3, 4),
    ),
    "two ciphertexts swapped": Case(
        "UPDATE ledger_events e SET state = o.state FROM ledger_events o WHERE "
        "(e.notification_id = @1 AND o.notification_id = @3) OR (e.notification_id = @3 AND o.notification_id = @1)",
        Verdict.TAMPERED,
        Verdict.TAMPERED,
        (1, 3),
    ),
    "an entry edited": Case(
        "UPDATE sealed_leaf SET entry = convert_to(replace(convert_from(entry, 'UTF8'), 'created', 'revoked'), 'UTF8') "
        "WHERE tree = %(tree)s AND leaf_index = 3",
        Verdict.TAMPERED,
        Verdict.TAMPERED,
        (None,),  # the tile is not full, so nothing but the root tells; in a full one it is named, below
    ),
    "a leaf deleted": Case(
        "DELETE FROM sealed_leaf WHERE tree = %(tree)s AND leaf_index = 3",
        Verdict.TAMPERED,  # the event has no leaf now, as if it had been slipped in
        Verdict.MISSING,
        (3,),
        (None,),
    ),
    "a salt of another length": Case(
        "UPDATE sealed_leaf SET salt = '\\x00' WHERE tree = %(tree)s AND leaf_index = 3",
        Verdict.TAMPERED,
        Verdict.TAMPERED,
        (None,),  # the line is malformed, and named as such
        (3,),
    ),
    "another salt": Case(
        "UPDATE sealed_leaf SET salt = decode(repeat('00', 16), 'hex') WHERE tree = %(tree)s AND leaf_index = 3",
        Verdict.TAMPERED,
        Verdict.TAMPERED,
        (3,),
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_what_is_done_to_the_database_is_noticed_and_named(services: Services, what: str) -> None:
    case = CASES[what]
    organisation = given.an_organisation(services)
    some_events(services, organisation, 3)
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation)
        for statement in case.statement.split("; "):
            tamper(by_hand, statement, organisation)
        found = looked_at(by_hand, (), organisation)
        assert worst(found) is case.checked, found
        at = {finding.index for report in found.values() for finding in report.findings}
        assert set(case.leaves if case.checked_leaves is None else case.checked_leaves) <= at
        report = verify(a_bundle(by_hand, export), policy_of(by_hand, organisation))
        assert report.verdict is case.exported, report.findings
        if report.verdict is not Verdict.OK:
            assert tuple(one.index for one in report.findings if one.verdict is report.verdict) == case.leaves


def tamper(by_hand: Sealing, statement: str, organisation: UUID) -> None:
    with by_hand.services.store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("ALTER TABLE ledger_events DROP CONSTRAINT IF EXISTS ledger_events_position")
        position = "(SELECT position FROM sealed_leaf WHERE tree = %(tree)s AND leaf_index = "
        statement = re.sub("@([0-9])", lambda match: f"{position}{match[1]})", statement)
        assert connection.execute(statement, {"tree": organisation}).rowcount > 0


def test_an_entry_that_was_edited_is_named_by_its_tile(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 130)
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation)
        tamper(by_hand, CASES["an entry edited"].statement, organisation)
        report = verify(a_bundle(by_hand, export), policy_of(by_hand, organisation))
        (found,) = looked_at(by_hand, (), organisation).values()
    for one in (report, found):
        assert [(finding.verdict, finding.index) for finding in one.findings] == [(Verdict.TAMPERED, 3)]


@pytest.mark.parametrize("sealer_set_back", [False, True])
def test_an_event_slipped_in_is_named(services: Services, *, sealer_set_back: bool) -> None:
    organisation = given.an_organisation(services)
    (credential,) = some_events(services, organisation)
    with sealing(services) as by_hand:
        by_hand.seal()
        tamper(
            by_hand,
            "INSERT INTO ledger_events "
            "(originator_id, originator_version, topic, state, notification_id, organisation_id) "
            "SELECT originator_id, 99, topic, state, 0, organisation_id FROM ledger_events "
            "WHERE organisation_id = %(tree)s ORDER BY notification_id DESC LIMIT 1",
            organisation,
        )
        if sealer_set_back:
            tamper(by_hand, "UPDATE projection_tracking SET position = -1 WHERE name = 'sealing'", organisation)
        (report,) = looked_at(by_hand).values()
    assert report.verdict is Verdict.TAMPERED
    assert f"version 99 of {credential}" in report.findings[0].text


@pytest.mark.parametrize("in_tree", ["%(tree)s", "gen_random_uuid()"])
def test_an_event_slipped_in_with_a_leaf_that_is_in_no_tree_is_named(services: Services, in_tree: str) -> None:
    organisation = given.an_organisation(services)
    (credential,) = some_events(services, organisation)
    with sealing(services) as by_hand:
        by_hand.seal()
        tamper(
            by_hand,
            "WITH slipped_in AS (INSERT INTO ledger_events "  # noqa: S608
            "(originator_id, originator_version, topic, state, notification_id, organisation_id) "
            "SELECT originator_id, originator_version + 1, topic, state, 0, organisation_id FROM ledger_events "
            "WHERE organisation_id = %(tree)s ORDER BY notification_id DESC LIMIT 1 "
            "RETURNING originator_id, originator_version) "
            "INSERT INTO sealed_leaf (tree, leaf_index, aggregate_id, aggregate_version, position, salt, entry) "
            f"SELECT {in_tree}, 1000000, originator_id, originator_version, 0, '', '' FROM slipped_in",
            organisation,
        )
        for of in (None, organisation):
            (report,) = looked_at(by_hand, (), of).values()
            assert report.verdict is Verdict.TAMPERED
            assert f"of {credential}): the event was slipped in" in report.findings[0].text


def test_an_event_that_was_taken_out_before_it_was_sealed_leaves_a_gap_in_its_versions(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        (credential,) = some_events(services, organisation)
        services.ledger.handle(RevokeCredential(context=given.context(), credential_id=credential))
        taken_out = "originator_id = %(of)s AND originator_version = 2"
        with services.store.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            connection.execute(f"DELETE FROM ledger_events WHERE {taken_out}", {"of": credential})  # noqa: S608
            connection.execute(
                "UPDATE ledger_events SET notification_id = notification_id - 1 "
                "WHERE originator_id = %s AND originator_version = 3",
                (credential,),
            )
            connection.execute("UPDATE ledger_head SET position = position - 1")
        by_hand.seal()
        (report,) = looked_at(by_hand, (), organisation).values()
    assert [finding.verdict for finding in report.findings] == [Verdict.MISSING]
    assert f"version 3 of {credential} was sealed, and version 2 was not before it" in report.findings[0].text


# --- histories that were signed, and are not the log any more --------------------------------------------------------


def test_a_log_that_was_cut_short_is_known_to_have_been_longer(services: Services) -> None:
    """Rolled back as a whole, an older backup's files in its place: nothing in it is wrong but what it lacks."""
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        early = an_export(by_hand, organisation)
        backed_up(by_hand)
        some_events(services, organisation)
        late = an_export(by_hand, organisation)
        kept = known_from(a_bundle(by_hand, late), policy_of(by_hand, organisation), "late.ndjson")
        restored(by_hand)
        assert worst(looked_at(by_hand)) is Verdict.TRUNCATED
        without_memory = dict(check(services.log, by_hand.log, None, kept))
        assert worst(without_memory) is Verdict.TRUNCATED
        bundle = a_bundle(by_hand, early)
        assert verify(bundle, policy_of(by_hand, organisation)).verdict is Verdict.OK
        assert verify(bundle, policy_of(by_hand, organisation), kept).verdict is Verdict.TRUNCATED


def test_another_history_signed_under_the_same_name_is_a_fork(services: Services) -> None:
    """Rolled back, gone on with otherwise, and signed again by a signer who forgot."""
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        backed_up(by_hand)
        some_events(services, organisation)
        kept = known_from(
            a_bundle(by_hand, an_export(by_hand, organisation)), policy_of(by_hand, organisation), "one.ndjson"
        )
        restored(by_hand)
    some_events(services, organisation, 2)
    with sealing(services, services.settings.data_dir / "forgetful") as forgetful:
        bundle = a_bundle(forgetful, an_export(forgetful, organisation))
        assert verify(bundle, policy_of(forgetful, organisation)).verdict is Verdict.OK
        report = verify(bundle, policy_of(forgetful, organisation), kept)
        assert report.verdict is Verdict.FORK
        assert "one.ndjson" in report.findings[0].text
        assert worst(dict(check(services.log, forgetful.log, None, kept))) is Verdict.FORK
    with sealing(services) as by_hand:
        assert worst(looked_at(by_hand)) is Verdict.FORK


def test_a_history_written_anew_with_its_tiles_is_not_what_was_signed(services: Services) -> None:
    """An event, its leaf, every tile and the edge made anew, so that all of it fits together: but the signature."""
    organisation = given.an_organisation(services)
    some_events(services, organisation, 130)
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation)
        rewritten(by_hand, organisation)
        report = verify(a_bundle(by_hand, export), policy_of(by_hand, organisation))
        (found,) = looked_at(by_hand, (), organisation).values()
    for one in (report, found):
        assert one.verdict is Verdict.TAMPERED
        assert "written anew" in one.findings[0].text


def rewritten(by_hand: Sealing, organisation: UUID) -> None:
    """The event of leaf 3 reads otherwise, and everything in the database follows from that."""
    tamper(
        by_hand,
        CASES["an event edited"].statement,
        organisation,
    )
    connection = by_hand.connection
    with connection.transaction():
        position, salt = connection.execute(
            "SELECT position, salt FROM sealed_leaf WHERE tree = %s AND leaf_index = 3", (organisation,)
        ).fetchone() or (0, b"")
        (event,) = by_hand.services.log.stored_after(position - 1, 1)
        connection.execute(
            "UPDATE sealed_leaf SET entry = %s WHERE tree = %s AND leaf_index = 3",
            (entry_of(event, salt), organisation),
        )
        entries = connection.execute(
            "SELECT entry FROM sealed_leaf WHERE tree = %s ORDER BY leaf_index", (organisation,), binary=True
        ).fetchall()
        hashes = [leaf_hash(entry) for (entry,) in entries]
        connection.execute("DELETE FROM sealed_tile WHERE tree = %s", (organisation,))
        write_tiles(connection, organisation, 0, hashes)
        frontier = Frontier()
        for each in hashes:
            frontier.append(each)
        connection.execute(
            "UPDATE sealed_tree SET frontier = %s WHERE tree = %s", (b"".join(frontier.hashes), organisation)
        )


def test_what_a_stolen_key_signs_after_it_was_replaced_is_trusted_no_more(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation)
    with sealing(services) as by_hand:
        by_hand.seal()
        (stolen,) = by_hand.log.keys
        before = policy_of(by_hand, organisation)
        services.ledger.handle(issue_sealing_key(services.keyring, given.context(), overlap=timedelta(0)))
        export = an_export(by_hand, organisation)
        honest = a_bundle(by_hand, export)
        seal, _, _ = parse_seal(honest[-1])

        def by_thief(note: str) -> str:
            stated = checkpoint_of(note)
            tree = ROOT if stated.origin.endswith("/root") else organisation
            key = signer_key(services.keyring, by_hand.log, stolen, tree)
            return notes.sign(checkpoints.encode(stated), [key]).decode()

        forged = resealed(honest, replace(seal, checkpoint=by_thief(seal.checkpoint)))
        forged_wholly = resealed(
            honest,
            replace(seal, checkpoint=by_thief(seal.checkpoint), root_checkpoint=by_thief(seal.root_checkpoint)),
        )
        assert verify(honest, policy_of(by_hand, organisation)).verdict is Verdict.OK
        assert verify(forged, policy_of(by_hand, organisation)).verdict is Verdict.UNTRUSTED
        assert verify(forged_wholly, policy_of(by_hand, organisation)).verdict is Verdict.UNTRUSTED
        assert verify(forged_wholly, before).verdict is Verdict.OK  # so an auditor's policy follows a rotation
        by_hand.connection.execute(
            "UPDATE sealed_tree SET checkpoint = %s WHERE tree = %s", ("x\n\n\u2014 x AAAA\n", organisation)
        )
        assert worst(looked_at(by_hand, (), organisation)) is Verdict.UNTRUSTED


def resealed(lines: Sequence[bytes], seal: Seal) -> list[bytes]:
    """The bundle with another seal, and a digest that fits it."""
    before = [*lines[:-1], encode_seal(seal)]
    return [*lines[:-1], before[-1] + finish_seal(sha256(b"".join(before)).hexdigest())]


# --- other things of the database that proofs rest on ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE sealed_tile SET hashes = decode(repeat('00', octet_length(hashes)), 'hex') WHERE level = 0", "hashes"),
        ("UPDATE sealed_tile SET hashes = decode(repeat('00', octet_length(hashes)), 'hex') WHERE level = 1", "tiles"),
        ("UPDATE sealed_head SET root = decode(repeat('00', 32), 'hex')", "head"),
        ("UPDATE sealed_head SET root = '\\x00'", "head"),
        ("UPDATE sealed_tree SET label = repeat('0', 32) WHERE tree = %(tree)s", "head"),
    ],
)
def test_tiles_and_heads_that_were_touched_are_told_of(services: Services, statement: str, says: str) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 130)
    with sealing(services) as by_hand:
        by_hand.seal()
        tamper(by_hand, statement, organisation)
        found = looked_at(by_hand)
    assert worst(found) is Verdict.TAMPERED
    assert any(says in finding.text for report in found.values() for finding in report.findings)


def test_a_log_that_is_gone_is_remembered(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        tamper(by_hand, "DELETE FROM sealed_leaf WHERE tree = %(tree)s", organisation)
        tamper(by_hand, "DELETE FROM sealed_tree WHERE tree = %(tree)s", organisation)
        found = looked_at(by_hand)
    texts = [finding.text for report in found.values() for finding in report.findings]
    assert any("is gone" in text for text in texts)


def test_a_log_that_is_gone_is_known_of_from_elsewhere(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        kept = known_from(
            a_bundle(by_hand, an_export(by_hand, organisation)), policy_of(by_hand, organisation), "kept.ndjson"
        )
        tamper(by_hand, "DELETE FROM sealed_leaf WHERE tree = %(tree)s", organisation)
        tamper(by_hand, "DELETE FROM sealed_tree WHERE tree = %(tree)s", organisation)
        found = dict(check(services.log, by_hand.log, None, kept))
    assert any("kept.ndjson" in finding.text for report in found.values() for finding in report.findings)


def test_what_was_kept_of_an_earlier_generation_is_told_to_be_no_help(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        kept = known_from(
            a_bundle(by_hand, an_export(by_hand, organisation)), policy_of(by_hand, organisation), "kept.ndjson"
        )
        declared(by_hand)
        by_hand.seal()
        (report,) = looked_at(by_hand, kept).values()
        assert report.verdict is Verdict.UNTRUSTED
        assert "kept.ndjson" in report.findings[0].text


def test_what_a_signer_refuses_for_is_found_in_the_database_as_well(services: Services) -> None:
    """What it signed after a restore, where the backup is restored once more."""
    given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        declared(by_hand)
        by_hand.seal()
        backed_up(by_hand)
        declared(by_hand)
        by_hand.seal()
        restored(by_hand)
        assert by_hand.log.generation == 2
        assert by_hand.signer.check_memory(by_hand.connection, by_hand.log)
        assert worst(looked_at(by_hand)) is Verdict.TRUNCATED


def test_a_log_that_is_gone_is_missed_where_it_alone_is_asked_for(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        kept = known_from(
            a_bundle(by_hand, an_export(by_hand, organisation)), policy_of(by_hand, organisation), "kept.ndjson"
        )
        assert looked_at(by_hand, (), organisation) == {}
        by_hand.tamper("DELETE FROM sealed_leaf WHERE tree = %s", organisation)
        by_hand.tamper("DELETE FROM sealed_tree WHERE tree = %s", organisation)
        by_hand.tamper("DELETE FROM ledger_events WHERE organisation_id = %s", organisation)
        assert worst(looked_at(by_hand, (), organisation)) is Verdict.TRUNCATED
        for known, verdict in ((kept, Verdict.TRUNCATED), ([], Verdict.MISSING)):
            assert worst(dict(check(services.log, by_hand.log, None, known, organisation))) is verdict


def test_a_log_whose_events_all_wait_to_be_sealed_is_not_missed(services: Services) -> None:
    given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        organisation = given.an_organisation(services, "New")
        assert looked_at(by_hand, (), organisation) == {}


def test_positions_in_another_order_than_leaves_are_told(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 3)
    with sealing(services) as by_hand:
        by_hand.seal()
        by_hand.tamper("UPDATE sealed_leaf SET position = 1 WHERE tree = %s AND leaf_index = 3", organisation)
        (report,) = looked_at(by_hand, (), organisation).values()
    assert any("after one for" in finding.text for finding in report.findings)


def test_a_data_key_that_was_swapped_is_no_erasure(services: Services) -> None:
    organisation = given.an_organisation(services)
    first, _ = given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))
    second, _ = given.a_credential(services, organisation, contact_email=EmailAddress("bob@example.com"))
    with sealing(services) as by_hand:
        export = an_export(by_hand, organisation, personal=True, topics=("credential.created",))
        assert verify(a_bundle(by_hand, export), policy_of(by_hand, organisation)).told == 2
        by_hand.tamper(
            "UPDATE ledger_data_keys k SET wrapped = o.wrapped FROM ledger_data_keys o "
            "WHERE k.aggregate_id = %s AND o.aggregate_id = %s",
            first.id,
            second.id,
        )
        report = verify(a_bundle(by_hand, export), policy_of(by_hand, organisation))
        (checked,) = looked_at(by_hand, (), organisation).values()
    for found in (report, checked):
        assert found.verdict is Verdict.TAMPERED
        assert [str(first.id) in finding.text for finding in found.findings] == [True]


def test_a_data_key_that_was_destroyed_is_no_erasure_either(services: Services) -> None:
    organisation = given.an_organisation(services)
    first, second = (
        given.a_credential(services, organisation, contact_email=EmailAddress("ada@example.com"))[0] for _ in range(2)
    )
    with sealing(services) as by_hand:
        by_hand.seal()
        reason = RevocationReason.NO_LONGER_USED
        revoke = RevokeCredential(context=given.context(), credential_id=first.id, revocation_reason=reason)
        services.ledger.handle(revoke)
        services.ledger.handle(EraseCredential(context=given.context(), credential_id=first.id))
        assert looked_at(by_hand) == {}  # the erasure is not sealed yet
        by_hand.tamper("DELETE FROM ledger_data_keys WHERE aggregate_id = %s", second.id)
        (report,) = looked_at(by_hand).values()
    assert report.verdict is Verdict.TAMPERED
    assert [(one.index, one.text.partition(": ")[2]) for one in report.findings] == [
        (3, "the key of its personal data is gone, and the log has no erasure of it")
    ]


def test_a_checkpoint_that_was_taken_away_hides_nothing_where_nobody_remembers_it(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 3)
    with sealing(services) as by_hand:
        by_hand.seal()
        by_hand.tamper("UPDATE sealed_tree SET signed_size = 0, checkpoint = '' WHERE tree = %s", organisation)
        by_hand.tamper(
            "UPDATE ledger_events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'tester', 'nobody'), "
            "'UTF8') WHERE organisation_id = %s AND topic = 'organisation.registered'",
            organisation,
        )
        report = dict(check(services.log, by_hand.log, None))[origin_of(by_hand.log.base, organisation)]
        assert report.verdict is Verdict.TAMPERED
        assert [one.index for one in report.findings if one.verdict is Verdict.TAMPERED] == [0]
        assert Verdict.UNTRUSTED in {one.verdict for one in report.findings}


class AtWork(SignerMemory):
    """The memory of a signer that goes on sealing, in a connection of its own, whenever somebody reads it."""

    def __init__(self, by_hand: Sealing, organisation: UUID) -> None:
        super().__init__(by_hand.services.settings.signer_memory_file)
        self._by_hand = by_hand
        self._organisation = organisation

    def recall(self, origin: str) -> Frontier | None:
        self._seal()
        return super().recall(origin)

    def owed(self, log: SealedLog) -> Iterator[tuple[str, Frontier]]:
        self._seal()
        return super().owed(log)

    def _seal(self) -> None:
        by_hand = self._by_hand
        some_events(by_hand.services, given.an_organisation(by_hand.services))
        some_events(by_hand.services, self._organisation)
        by_hand.seal()
        some_events(by_hand.services, self._organisation)  # which the next to read will see signed
        integrate(by_hand.services.log, by_hand.integrating, by_hand.log.base)


def test_a_ledger_that_is_sealed_meanwhile_is_ok(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        with AtWork(by_hand, organisation) as memory:
            for origin, report in check(services.log, by_hand.log, memory):
                assert report.verdict is Verdict.OK, (origin, report.findings)


def test_a_signer_at_work_refuses_nothing(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand, services.store.connect() as connection:
        by_hand.seal()
        with AtWork(by_hand, organisation) as memory:
            assert Signer(memory, services.keyring).refusals(connection, by_hand.log) == []


def test_what_a_signer_remembers_a_moment_before_it_shows_it_is_no_loss(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation)
    file = services.settings.signer_memory_file

    def sign() -> None:
        with services.store.connect() as connection, SignerMemory(file) as memory:
            Signer(memory, services.keyring).sign_heads(connection, by_hand.log, datetime.now(UTC))

    def look() -> Verdict:
        with SignerMemory(file) as memory:
            return worst(dict(check(services.log, by_hand.log, memory)))

    with sealing(services) as by_hand, services.store.connect() as holding, ThreadPoolExecutor(2) as threads:
        by_hand.seal()
        some_events(services, organisation)
        integrate(services.log, by_hand.integrating, by_hand.log.base)
        origin, before = origin_of(by_hand.log.base, organisation), by_hand.checkpoint(organisation).size
        with holding.transaction():  # so that the signer waits with what it shows
            holding.execute("SELECT FROM sealed_tree WHERE tree = %s FOR UPDATE", (organisation,))
            signing = threads.submit(sign)
            until(lambda: getattr(by_hand.signer.memory.recall(origin), "size", 0) > before)
            looking = threads.submit(look)
            time.sleep(0.3)
            assert not looking.done()
        signing.result()
        assert looking.result() is Verdict.OK


def test_a_log_that_is_begun_while_it_is_looked_for_is_not_missing(services: Services) -> None:
    def look() -> Report:
        reports = dict(check(services.log, by_hand.log, None, (), organisation))
        return reports[origin_of(by_hand.log.base, organisation)]

    with sealing(services) as by_hand, services.store.connect() as holding, ThreadPoolExecutor(1) as thread:
        by_hand.seal()
        organisation = given.an_organisation(services)
        with holding.transaction():  # so that the look waits where it found no log, and asks what waits for one
            holding.execute("LOCK TABLE projection_tracking IN ACCESS EXCLUSIVE MODE")
            looking = thread.submit(look)
            until(lambda: is_waited_for(holding))
            integrate(services.log, holding, by_hand.log.base)
        assert looking.result().findings == []


def is_waited_for(connection: Connection) -> bool:
    """Whether another waits for a lock of this connection."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    return bool((connection.execute(query).fetchone() or (0,))[0])


@pytest.mark.parametrize("bytes_max", [1, 2_000, 5_000])
def test_however_few_events_are_read_at_once_each_is_looked_at(
    services: Services, monkeypatch: pytest.MonkeyPatch, bytes_max: int
) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation, 20)
    monkeypatch.setattr(checking, "READ_BYTES_MAX", bytes_max)
    with sealing(services) as by_hand:
        by_hand.seal()
        reports = dict(check(services.log, by_hand.log, by_hand.signer.memory))
        report = reports[origin_of(by_hand.log.base, organisation)]
        assert (report.verdict, report.leaves, report.payloads) == (Verdict.OK, 41, 41)
        by_hand.tamper(
            "UPDATE ledger_events SET topic = 'credential.suspended' WHERE notification_id IN "
            "(SELECT position FROM sealed_leaf WHERE tree = %s AND leaf_index IN (7, 39))",
            organisation,
        )
        by_hand.tamper(
            "DELETE FROM ledger_events WHERE notification_id IN "
            "(SELECT position FROM sealed_leaf WHERE tree = %s AND leaf_index IN (20, 40))",
            organisation,
        )
        (report,) = looked_at(by_hand).values()
        found = {(one.verdict, one.index) for one in report.findings if one.index is not None}
        assert {(Verdict.TAMPERED, 7), (Verdict.MISSING, 20), (Verdict.TAMPERED, 39), (Verdict.MISSING, 40)} == found


def test_every_tree_that_grew_is_looked_at_for_what_the_signer_refuses(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisations = [given.an_organisation(services) for _ in range(3)]
    with sealing(services) as by_hand:
        by_hand.seal()
        for organisation in organisations:
            some_events(services, organisation)
        integrate(services.log, by_hand.integrating, by_hand.log.base)
        by_hand.tamper(
            "UPDATE sealed_leaf SET entry = 'x' WHERE leaf_index = 1 AND tree = ANY(%s)", sorted(organisations)[:2]
        )
        monkeypatch.setattr(signing, "TREES_MAX", 1)  # of four that grew
        refused = {one.origin for one in by_hand.signer.refusals(by_hand.connection, by_hand.log)}
        assert refused == {origin_of(by_hand.log.base, organisation) for organisation in sorted(organisations)[:2]}
