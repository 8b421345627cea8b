"""The provable log: every event a leaf, heads signed, and nothing signed that does not follow from the events."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg import sql
from uuid_utils.compat import uuid7

from api.sealing import issue_sealing_key, open_sealed_log
from api.wiring import INLINE_ROWS, Services
from ledger.commands import DeclareRestore, RegisterOrganisation, RevokeCredential
from ledger.errors import SealingBehind
from ledger.sealed_log import SealedLog
from ledger.service import Ledger
from ledger.tlog import checkpoints, heads, leaves, merkle, notes
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import leaf_hash
from ledger.tlog.tiles import WIDTH
from ledger.values import Name
from projections.runner import wait_for
from projections.sealed import reading
from projections.sealed.integrating import ROUND_EVENTS_MAX, LogDamaged, Rebased, integrate
from projections.sealed.memory import SignerMemory
from projections.sealed.sealer import Admission, Sealer, begin, seal, sealed_log
from projections.sealed.signing import SIGNING, NotAsSealed, Signer, SignerRefuses, verifier_keys
from projections.sealed.trees import INSTALLATION, ROOT, origin_of
from tests import given
from tests.conftest import OpenServices
from tests.waiting import SECONDS_MAX, until


class Sealing:
    """Sealing by hand, as the sealer does on its thread."""

    def __init__(
        self,
        services: Services,
        integrating: psycopg.Connection[Any],
        connection: psycopg.Connection[Any],
        memory: SignerMemory,
    ) -> None:
        self.services = services
        self.integrating = integrating
        self.connection = connection
        self.signer = Signer(memory, services.keyring)

    @property
    def log(self) -> SealedLog:
        state = sealed_log(self.services.log)
        assert state is not None
        return state

    def seal(self) -> int:
        begin(self.connection, self.signer, self.log)
        return seal(self.services.log, self.integrating, self.connection, self.signer, self.log)

    def checkpoint(self, tree: UUID) -> Checkpoint:
        """The tree's checkpoint, if it is signed by the log's key."""
        found = reading.find_tree(self.connection, tree)
        assert found is not None
        note = notes.open_note(found.checkpoint.encode(), verifier_keys(self.services.keyring, self.log, tree)[:1])
        return checkpoints.parse(note.text)

    def tamper(self, statement: str, *params: object) -> None:
        """Whoever owns the database does to it what he likes."""
        with self.services.store.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL session_replication_role = replica")
            assert connection.execute(statement, params).rowcount > 0


@contextmanager
def sealing(services: Services, memory: Path | None = None) -> Iterator[Sealing]:
    open_sealed_log(services.log, services.ledger)
    with (
        services.store.connect() as integrating,
        services.store.connect() as connection,
        SignerMemory(memory or services.settings.signer_memory_file) as remembered,
    ):
        yield Sealing(services, integrating, connection, remembered)


def some_events(services: Services, organisation: UUID, credentials: int = 1) -> list[UUID]:
    return [given.a_credential(services, organisation)[0].id for _ in range(credentials)]


def test_every_event_is_a_leaf_of_its_organisations_tree_in_the_logs_order(services: Services) -> None:
    one, other = given.an_organisation(services, "One"), given.an_organisation(services, "Other")
    for organisation in (one, other, one):
        some_events(services, organisation)
    with sealing(services) as by_hand:
        assert by_hand.seal() == services.log.head()
        events = services.log.stored_after(0, 1000)
        for tree in (one, other, INSTALLATION):
            of_tree = [
                event for event in events if event.organisation_id == (None if tree == INSTALLATION else str(tree))
            ]
            for index, event in enumerate(of_tree):
                found = reading.find_event(by_hand.connection, UUID(event.aggregate_id), event.aggregate_version)
                assert found is not None
                leaf = leaves.parse(found.entry)
                assert (found.tree, found.index) == (tree, index)
                assert (leaf.topic, leaf.organisation) == (event.topic, str(tree))
                assert leaf.digest == leaves.state_digest(found.salt, event.state)
            assert by_hand.checkpoint(tree).size == len(of_tree)
        assert by_hand.seal() == 0


def test_checkpoints_prove_inclusion_and_each_begins_with_the_one_before(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        before = None
        for _ in range(4):
            some_events(services, organisation, 3)
            by_hand.seal()
            now = by_hand.checkpoint(organisation)
            for index in range(now.size):
                (entry,) = reading.find_bundle(by_hand.connection, organisation, 0, WIDTH)[index : index + 1]
                proof = reading.inclusion_proof(by_hand.connection, organisation, index, now.size)
                merkle.verify_inclusion(index, now.size, leaf_hash(entry), proof, now.root)
            if before is not None:
                proof = reading.consistency_proof(by_hand.connection, organisation, before.size, now.size)
                merkle.verify_consistency(before.size, now.size, proof, before.root, now.root)
            before = now


def test_trees_beyond_a_tile_are_read_from_tiles(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        for number in (100, 60, 1):
            some_events(services, organisation, number)
            by_hand.seal()
        now = by_hand.checkpoint(organisation)
        assert now.size > WIDTH
        for index in (0, WIDTH - 1, WIDTH, now.size - 1):
            (entry,) = reading.find_bundle(by_hand.connection, organisation, index // WIDTH, WIDTH)[index % WIDTH :][:1]
            proof = reading.inclusion_proof(by_hand.connection, organisation, index, now.size)
            merkle.verify_inclusion(index, now.size, leaf_hash(entry), proof, now.root)
        rows = by_hand.connection.execute("SELECT level, tile_index FROM sealed_tile WHERE tree = %s", (organisation,))
        assert set(rows) == {(0, 0), (1, 0)}


def test_the_root_tree_holds_every_head_behind_a_label(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        checkpoint, root = by_hand.checkpoint(organisation), by_hand.checkpoint(ROOT)
        head = reading.find_head(by_hand.connection, organisation, checkpoint.size)
        tree = reading.find_tree(by_hand.connection, organisation)
        assert head is not None
        assert tree is not None
        entered = heads.parse(head.entry)
        assert entered.label == tree.label
        assert entered.digest == heads.head_digest(head.salt, checkpoints.encode(checkpoint))
        assert organisation.hex not in head.entry.decode()
        proof = reading.inclusion_proof(by_hand.connection, ROOT, head.index, root.size)
        merkle.verify_inclusion(head.index, root.size, leaf_hash(head.entry), proof, root.root)


def test_checkpoints_are_signed_by_both_keys_during_an_overlap_and_then_by_the_newest_alone(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        first = verifier_keys(services.keyring, by_hand.log, organisation)
        by_hand.seal()
        services.ledger.handle(issue_sealing_key(services.keyring, given.context(), overlap=timedelta(hours=1)))
        some_events(services, organisation)
        by_hand.seal()
        tree = reading.find_tree(by_hand.connection, organisation)
        assert tree is not None
        keys = verifier_keys(services.keyring, by_hand.log, organisation)
        assert keys[1:] == first
        assert len(notes.open_note(tree.checkpoint.encode(), keys).signatures) == 2
        services.ledger.handle(issue_sealing_key(services.keyring, given.context(), overlap=timedelta(0)))
        by_hand.seal()  # though nothing happened in the organisation, its checkpoint is signed anew
        tree = reading.find_tree(by_hand.connection, organisation)
        assert tree is not None
        keys = verifier_keys(services.keyring, by_hand.log, organisation)
        assert [one.key for one in notes.open_note(tree.checkpoint.encode(), keys).signatures] == keys[:1]


EVENT = b'{"context":{"at":"2026-03-02T09:30:15.123456Z"}}'
TAMPERING = {
    "an event edited": "UPDATE ledger_events SET state = replace(encode(state, 'escape'), 'tester', 'nobody')::bytea "
    "WHERE topic = 'organisation.registered'",
    "an event that is no JSON any more": "UPDATE ledger_events SET state = 'x' WHERE topic = 'organisation.registered'",
    "an event of another kind": "UPDATE ledger_events SET topic = 'organisation.renamed' "
    "WHERE topic = 'organisation.registered'",
    "an event moved to another organisation": "UPDATE ledger_events SET organisation_id = gen_random_uuid() "
    "WHERE topic = 'organisation.registered'",
    "an event deleted": "DELETE FROM ledger_events WHERE topic = 'organisation.registered'",
    "an entry edited": "UPDATE sealed_leaf SET entry = replace(encode(entry, 'escape'), 'registered', 'renamed')"
    "::bytea WHERE tree <> '00000000-0000-0000-0000-000000000000'",
    "a leaf deleted": "DELETE FROM sealed_leaf WHERE tree <> '00000000-0000-0000-0000-000000000000'",
    "another salt": "UPDATE sealed_leaf SET salt = decode(repeat('00', 16), 'hex')",
    "another edge": "UPDATE sealed_tree SET frontier = decode(repeat('00', octet_length(frontier)), 'hex')",
    "a head edited": "UPDATE sealed_head SET size = size + 1",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_what_was_changed_between_sealing_and_signing_is_not_signed(services: Services, what: str) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        integrate(services.log, by_hand.connection, by_hand.log.base)
        by_hand.tamper(TAMPERING[what])
        with pytest.raises(SignerRefuses):
            by_hand.signer.sign_heads(by_hand.connection, by_hand.log, datetime.now(UTC))
        tree = reading.find_tree(by_hand.connection, organisation)
        assert tree is not None
        assert (tree.signed_size, tree.checkpoint) == (0, "")


def test_a_tile_that_was_changed_before_its_head_is_signed_is_noticed(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        some_events(services, organisation, 130)
        integrate(services.log, by_hand.connection, by_hand.log.base)
        by_hand.tamper("UPDATE sealed_tile SET hashes = decode(repeat('00', octet_length(hashes)), 'hex')")
        with pytest.raises(SignerRefuses, match="tiles"):
            by_hand.signer.sign_heads(by_hand.connection, by_hand.log, datetime.now(UTC))


def test_a_gap_in_the_log_is_not_sealed_over(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation)
    with sealing(services) as by_hand:
        by_hand.tamper("DELETE FROM ledger_events WHERE notification_id = 2")
        with pytest.raises(LogDamaged, match="position 0"):
            by_hand.seal()


@pytest.mark.parametrize(
    "state",
    [
        b'{"context":{"at":"2026-03-02T09:30:15Z"}}',
        b'{"context":{"at":"2026-03-02T10:30:15.123456+01:00"}}',
        b'{"context":{"reason":"","at":"2026-03-02T09:30:15.123456Z"}}',
        b'{"context":{"at":"2026-03-02T09:30:15.123456Z"},"name":"\\u0061t","at":"context"}',
    ],
)
def test_an_event_of_another_form_is_signed_as_well(services: Services, state: bytes) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation)
    with sealing(services) as by_hand:
        by_hand.tamper("UPDATE ledger_events SET state = %s WHERE organisation_id = %s", state, organisation)
        by_hand.seal()
        assert by_hand.checkpoint(organisation).size == tree_size(by_hand, organisation) > 0


def test_a_round_with_an_event_that_is_none_leaves_nothing_behind(services: Services) -> None:
    organisation = given.an_organisation(services)
    some_events(services, organisation)
    with sealing(services) as by_hand:
        by_hand.tamper("UPDATE ledger_events SET state = 'x' WHERE notification_id = 2")
        with pytest.raises(msgspec.MsgspecError):
            by_hand.seal()
        assert by_hand.connection.execute("SELECT 1 FROM sealed_leaf").fetchall() == []
        by_hand.tamper("UPDATE ledger_events SET state = %s WHERE notification_id = 2", EVENT)
        by_hand.seal()
        assert by_hand.checkpoint(organisation).size > 0


# --- while one round is signed, the next is put into the trees -------------------------------------------------------


ROUNDS_EVENTS = 2 * ROUND_EVENTS_MAX + 500  # two rounds and a part of one: each but the last has one that follows


def rounds_of_events(services: Services, organisation: UUID) -> None:
    """More events than are sealed in one round: copies of one, each of another thing."""
    some_events(services, organisation)
    with services.store.connect() as connection, connection.transaction():
        connection.execute(
            "INSERT INTO ledger_events "
            "(originator_id, originator_version, topic, state, notification_id, organisation_id) "
            "SELECT gen_random_uuid(), 1, e.topic, e.state, h.position + n, e.organisation_id "
            "FROM ledger_head h, ledger_events e, generate_series(1, %s - h.position) n WHERE e.topic = %s",
            (ROUNDS_EVENTS, "credential.created"),
        )
        connection.execute("UPDATE ledger_head SET position = %s", (ROUNDS_EVENTS,))


def fails_at(by_hand: Sealing, table: str, when: str, then: str) -> None:
    """Have the database do something where a row of a table comes to be written."""
    by_hand.connection.execute(
        f"CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {then} RETURN NEW; END $$"
    )
    by_hand.connection.execute(
        f"CREATE TRIGGER fails BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION fails()"
    )


def mend(by_hand: Sealing) -> None:
    by_hand.connection.execute("DROP FUNCTION fails CASCADE")


def assert_all_is_signed(by_hand: Sealing, organisation: UUID) -> None:
    """Every event is a leaf in the log's order, and checkpoints cover them all."""
    rows = by_hand.connection.execute(
        "SELECT leaf_index, position, entry FROM sealed_leaf WHERE tree = %s ORDER BY leaf_index", (organisation,)
    ).fetchall()
    stored = by_hand.services.log.stored_after(0, ROUNDS_EVENTS)
    assert [position for _, position, _ in rows] == [
        event.position for event in stored if event.organisation_id == str(organisation)
    ]
    assert [index for index, _, _ in rows] == list(range(len(rows)))
    checkpoint = by_hand.checkpoint(organisation)
    frontier = merkle.Frontier()
    frontier.extend([leaf_hash(entry) for _, _, entry in rows])
    assert (checkpoint.size, checkpoint.root) == (len(rows), frontier.root())
    assert by_hand.checkpoint(ROOT).size == tree_size(by_hand, ROOT)
    assert wait_for_signing(by_hand.services, ROUNDS_EVENTS)


def tree_size(by_hand: Sealing, tree: UUID) -> int:
    found = reading.find_tree(by_hand.connection, tree)
    return 0 if found is None else found.size


def test_many_rounds_are_sealed_and_signed_in_one_go(services: Services) -> None:
    organisation = given.an_organisation(services)
    rounds_of_events(services, organisation)
    with sealing(services) as by_hand:
        assert by_hand.seal() == services.log.head()
        assert_all_is_signed(by_hand, organisation)


def test_no_more_rounds_are_sealed_in_one_go_than_asked_for(services: Services) -> None:
    rounds_of_events(services, given.an_organisation(services))
    with sealing(services) as by_hand:
        about = services.log, by_hand.integrating, by_hand.connection, by_hand.signer, by_hand.log
        assert seal(*about, 2) == 2 * ROUND_EVENTS_MAX
        assert seal(*about, 1) == services.log.head() - 2 * ROUND_EVENTS_MAX


def test_who_is_stopped_begins_no_further_round_and_signs_what_it_sealed(services: Services) -> None:
    organisation, stopping = given.an_organisation(services), threading.Event()
    rounds_of_events(services, organisation)
    stopping.set()
    with sealing(services) as by_hand:
        about = services.log, by_hand.integrating, by_hand.connection, by_hand.signer, by_hand.log
        assert seal(*about, stopping=stopping) == ROUND_EVENTS_MAX
        assert by_hand.checkpoint(organisation).size == tree_size(by_hand, organisation) > 0


@pytest.mark.parametrize(
    "what",
    ["an event edited", "an event deleted", "an entry edited", "a leaf deleted", "another edge", "a head edited"],
)
def test_what_was_changed_is_not_signed_while_the_next_round_is_put_into_the_trees(
    services: Services, what: str
) -> None:
    organisation = given.an_organisation(services)
    rounds_of_events(services, organisation)
    with sealing(services) as by_hand:
        integrate(services.log, by_hand.connection, by_hand.log.base)
        by_hand.tamper(TAMPERING[what])
        with pytest.raises(SignerRefuses):
            by_hand.seal()
        tree = reading.find_tree(by_hand.connection, organisation)
        assert tree is not None
        assert (tree.signed_size, tree.checkpoint) == (0, "")


def test_what_was_changed_in_the_round_that_follows_is_not_signed(services: Services) -> None:
    organisation = given.an_organisation(services)
    rounds_of_events(services, organisation)
    with sealing(services) as by_hand:
        fails_at(by_hand, "sealed_leaf", "NEW.position = 1500", "NEW.entry := overlay(NEW.entry PLACING 'x' FROM 200);")
        with pytest.raises(NotAsSealed, match="is not what was recorded"):
            by_hand.seal()
        tree = reading.find_tree(by_hand.connection, organisation)
        assert tree is not None
        assert tree.signed_size < 1500 <= tree.size


def test_after_a_crash_in_the_round_that_follows_what_is_left_is_sealed(services: Services) -> None:
    organisation = given.an_organisation(services)
    rounds_of_events(services, organisation)
    with sealing(services) as by_hand:
        fails_at(by_hand, "sealed_leaf", "NEW.position = 1500", "PERFORM pg_terminate_backend(pg_backend_pid());")
        with pytest.raises(psycopg.OperationalError):
            by_hand.seal()
        by_hand.integrating.close()  # as its sealer does: lost in the middle of a COPY, it is of no use to anybody
    with sealing(services) as by_hand:
        assert 0 < by_hand.checkpoint(organisation).size < 1500  # the round before it was signed meanwhile
        mend(by_hand)
        by_hand.seal()
        assert_all_is_signed(by_hand, organisation)


def test_after_a_crash_between_the_signers_memory_and_the_checkpoint_what_is_left_is_signed(services: Services) -> None:
    organisation = given.an_organisation(services)
    rounds_of_events(services, organisation)
    with sealing(services) as by_hand:
        fails_at(by_hand, "sealed_tree", "NEW.checkpoint <> ''", "RAISE EXCEPTION 'crashed';")
        with pytest.raises(psycopg.errors.RaiseException):
            by_hand.seal()
        signed = by_hand.signer.memory.recall(origin_of(by_hand.log.base, organisation))
        assert signed is not None
        assert tree_size(by_hand, organisation) >= signed.size > 0
        mend(by_hand)
        by_hand.seal()
        assert_all_is_signed(by_hand, organisation)


def test_a_gap_in_the_round_that_follows_is_not_sealed_over_and_what_is_before_it_is_signed(services: Services) -> None:
    organisation = given.an_organisation(services)
    rounds_of_events(services, organisation)
    with sealing(services) as by_hand:
        by_hand.tamper("DELETE FROM ledger_events WHERE notification_id = 1500")
        with pytest.raises(LogDamaged, match="position 1000"):
            by_hand.seal()
        assert by_hand.checkpoint(organisation).size == tree_size(by_hand, organisation) > 0


def test_who_does_not_know_of_the_trees_new_origin_adds_nothing_to_them(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        some_events(services, organisation)
        with pytest.raises(Rebased):
            integrate(services.log, by_hand.connection, f"{by_hand.log.base}/generation-2")
        assert by_hand.seal() == 2


def test_who_signed_before_another_took_the_lead_does_not_make_the_memory_forget(services: Services) -> None:
    shorter, longer = merkle.Frontier(), merkle.Frontier()
    shorter.extend([leaf_hash(b"1")])
    longer.extend([leaf_hash(b"1"), leaf_hash(b"2")])
    file = services.settings.signer_memory_file
    with SignerMemory(file) as slow, SignerMemory(file) as new:
        slow.remember([("log", merkle.Frontier())])
        new.remember([("log", longer)])
        slow.remember([("log", shorter)])
        kept = new.recall("log")
        assert kept is not None
        assert (kept.size, kept.root()) == (2, longer.root())


# --- restores --------------------------------------------------------------------------------------------------------


TABLES = ("ledger_events", "ledger_head", "sealed_leaf", "sealed_tree", "sealed_head", "projection_tracking")


def restored(by_hand: Sealing) -> None:
    """The database as an older backup has it: the last sealed event is gone with all that was made of it."""
    with by_hand.services.store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in TABLES:
            name = sql.Identifier(table)
            connection.execute(sql.SQL("DELETE FROM {}").format(name))
            connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(name, sql.Identifier(f"old_{table}")))


def backed_up(by_hand: Sealing) -> None:
    for table in TABLES:
        by_hand.connection.execute(
            sql.SQL("CREATE TABLE {} AS SELECT * FROM {}").format(sql.Identifier(f"old_{table}"), sql.Identifier(table))
        )


def test_a_restored_backup_is_noticed_and_nothing_is_signed_until_it_is_declared(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        backed_up(by_hand)
        some_events(services, organisation)
        by_hand.seal()
        signed = by_hand.checkpoint(organisation)
        restored(by_hand)

        refusals = by_hand.signer.check_memory(by_hand.connection, by_hand.log)
        lost = {refusal.lost for refusal in refusals}
        assert signed in lost
        given.an_organisation(services, "After the restore")
        with pytest.raises(SignerRefuses, match="backup"):
            by_hand.seal()

        texts = tuple(" ".join(checkpoints.encode(one).splitlines()) for one in lost if one is not None)
        services.ledger.handle(DeclareRestore(context=given.context(reason="disk lost"), lost=texts))
        by_hand.seal()
        again = by_hand.checkpoint(organisation)
        head = reading.find_head(by_hand.connection, organisation, again.size)
        assert head is not None
        assert head.origin == again.origin  # though nothing happened in it since
        assert again.origin == origin_of(f"{by_hand.log.name}/generation-2", organisation)
        assert again.size < signed.size


def declared(by_hand: Sealing) -> None:
    """A restore, declared as the command line does."""
    refusals = by_hand.signer.refusals(by_hand.connection, by_hand.log)
    lost = tuple(" ".join(checkpoints.encode(one.lost).splitlines()) for one in refusals if one.lost is not None)
    by_hand.services.ledger.handle(DeclareRestore(context=given.context(reason="disk lost"), lost=lost))


def test_the_same_backup_restored_twice_begins_two_generations(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        backed_up(by_hand)
        for generation in (2, 3):
            some_events(services, organisation)
            by_hand.seal()
            signed = by_hand.checkpoint(organisation)
            restored(by_hand)
            assert signed in {refusal.lost for refusal in by_hand.signer.refusals(by_hand.connection, by_hand.log)}
            declared(by_hand)
            assert by_hand.log.generation == generation
            by_hand.seal()
            assert f"generation-{generation}/" in by_hand.checkpoint(organisation).origin


def test_a_generation_that_the_backup_knows_of_is_no_loss_and_later_ones_are(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        backed_up(by_hand)
        some_events(services, organisation)
        by_hand.seal()
        restored(by_hand)
        declared(by_hand)
        by_hand.seal()
        assert by_hand.signer.refusals(by_hand.connection, by_hand.log) == []


def test_what_a_new_signer_finds_contradicted_can_be_declared(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        some_events(services, organisation)
        by_hand.seal()
        signed = by_hand.checkpoint(organisation)
        by_hand.tamper("UPDATE sealed_leaf SET entry = '{}' WHERE tree = %s AND leaf_index = 1", organisation)
    some_events(services, organisation)
    with sealing(services, services.settings.data_dir / "another") as by_hand:
        with pytest.raises(SignerRefuses, match="not those that were signed"):
            by_hand.seal()
        assert signed in {refusal.lost for refusal in by_hand.signer.refusals(by_hand.connection, by_hand.log)}


def test_another_log_of_the_same_size_is_noticed_at_the_start(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        backed_up(by_hand)
        some_events(services, organisation)
        by_hand.seal()
        restored(by_hand)
        some_events(services, organisation, 2)  # what came instead
    file = services.settings.signer_memory_file
    with sealing(services, file.with_name("fresh")) as elsewhere:
        elsewhere.seal()
    with sealing(services) as by_hand, pytest.raises(SignerRefuses, match="not those that were signed"):
        by_hand.seal()


def test_a_signer_without_memory_goes_on_from_what_is_signed(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
    some_events(services, organisation)
    with sealing(services, services.settings.data_dir / "another") as by_hand:
        by_hand.seal()
        assert by_hand.checkpoint(organisation).size == 3


def test_a_signer_without_memory_believes_no_checkpoint_that_the_log_did_not_sign(services: Services) -> None:
    organisation = given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        by_hand.tamper(
            "UPDATE sealed_tree SET checkpoint = replace(checkpoint, E'\\n1\\n', E'\\n2\\n') WHERE tree = %s",
            organisation,
        )
    some_events(services, organisation)
    with (
        sealing(services, services.settings.data_dir / "another") as by_hand,
        pytest.raises(SignerRefuses, match="ours"),
    ):
        by_hand.seal()


def test_the_signer_remembers_every_head_that_it_signed(services: Services) -> None:
    given.an_organisation(services)
    with sealing(services) as by_hand:
        by_hand.seal()
        rows = (
            sqlite3.connect(services.settings.signer_memory_file).execute("SELECT origin, size FROM signed").fetchall()
        )
        trees = by_hand.connection.execute("SELECT tree, signed_size FROM sealed_tree").fetchall()
        assert dict(rows) == {origin_of(by_hand.log.base, tree): size for tree, size in trees}


# --- the thread ------------------------------------------------------------------------------------------------------


def test_the_sealer_keeps_up_by_itself_and_hands_over(services: Services, open_another: OpenServices) -> None:
    open_sealed_log(services.log, services.ledger)
    organisation = given.an_organisation(services)
    first, second = Sealer(services.log), Sealer(open_another().log)
    first.start()
    second.start()
    try:
        for number in range(4):
            receipt, _ = given.a_credential(services, organisation)
            assert wait_for_signing(services, receipt.position)
            if number == 1:
                first.stop()
    finally:
        first.stop()
        second.stop()


def test_a_sealer_that_has_nothing_to_do_misses_either_of_its_connections(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.sealed.sealer.RETRY_SECONDS", 0.05)
    open_sealed_log(services.log, services.ledger)
    with services.store.connect() as connection:
        backends = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        before = {pid for (pid,) in connection.execute(backends)}

        def leader() -> int | None:
            row = connection.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND NOT pid = ANY(%s)",
                (list(before),),
            ).fetchone()
            return row and row[0]

        sealer = Sealer(services.log)
        sealer.start()
        try:
            assert wait_for_signing(services, services.log.head())
            leading = until(leader)
            connection.execute(
                f"SELECT pg_terminate_backend(pid) FROM ({backends}) b WHERE NOT pid = ANY(%s)",  # noqa: S608
                ([*before, leading],),
            )
            until(lambda: leader() not in (None, leading))
        finally:
            sealer.stop()


def wait_for_signing(services: Services, position: int) -> bool:
    return wait_for(services.store, SIGNING, position, timeout=SECONDS_MAX)


def test_commands_are_refused_while_sealing_is_too_far_behind_but_those_that_take_access_away(
    services: Services,
) -> None:
    organisation = given.an_organisation(services)
    (credential,) = some_events(services, organisation)
    strict = Ledger(services.log, INLINE_ROWS, Admission(services.store, seconds_max=0.2))
    time.sleep(0.3)
    another = RegisterOrganisation(context=given.context(), organisation_id=uuid7(), name=Name("Too late"))
    with pytest.raises(SealingBehind):
        strict.handle(another)
    strict.handle(RevokeCredential(context=given.context(), credential_id=credential))
    with sealing(services) as by_hand:
        by_hand.seal()
    Ledger(services.log, INLINE_ROWS, Admission(services.store, seconds_max=0.2)).handle(another)
