"""Witnesses cosign the root log, as a program that others wrote does it; where they do not, it is told."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from api.attesting import Attestation
from api.sealing import open_sealed_log
from api.wiring import Services
from api.witnesses import Outcome, cosign, witness_policy
from ledger.tlog import checkpoints, merkle, notes
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.notes import Algorithm, SignerKey, VerifierKey
from ledger.tlog.policy import parse
from projections.runner import wait_for
from projections.sealed import attested, reading
from projections.sealed.attested import WITNESSING
from projections.sealed.sealer import sealed_log
from projections.sealed.signing import verifier_keys
from projections.sealed.trees import ROOT
from tests import given
from tests.conftest import OpenServices
from tests.running.witnesses import Witness, witness
from tests.unit.tlog.trees import mth, reader
from tests.waiting import until

LOG = SignerKey("ledger.example/root", Algorithm.ED25519, b"\x01" * 32)
ENTRIES = [b"entry %d" % number for number in range(20)]
OTHERS = [b"other %d" % number for number in range(20)]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Witness, Witness]]:
    """Two witnesses."""
    with ExitStack() as stack:
        first = stack.enter_context(witness(tmp_path / "w1", "w1"))
        yield first, stack.enter_context(witness(tmp_path / "w2", "w2"))


# --- the protocol ----------------------------------------------------------------------------------------------------


def ask(one: Witness, entries: list[bytes], size: int, known: int = 0, signer: SignerKey = LOG) -> tuple[Outcome, int]:
    """What becomes of showing a witness the first of these entries; a cosignature is looked at."""
    checkpoint = Checkpoint(signer.name, size, mth(entries[:size]))
    note = notes.sign(checkpoints.encode(checkpoint), [signer])
    asked = cosign(
        one.url, one.key, note, size, known, lambda old, new: merkle.consistency_proof(old, new, reader(entries))
    )
    assert (asked.cosignature is not None) is (asked.outcome is Outcome.COSIGNED)
    if asked.cosignature is not None:
        one.key.verify(checkpoints.encode(checkpoint), asked.cosignature.signature)
        assert asked.cosignature.time is not None
    return asked.outcome, asked.size


def test_a_witness_cosigns_what_continues_the_tree_that_it_knows_and_nothing_else(tmp_path: Path) -> None:
    with witness(tmp_path / "w", "w") as one:
        one.follow(LOG.verifier)
        one.start()
        assert ask(one, ENTRIES, 5) == (Outcome.COSIGNED, 5)
        assert ask(one, ENTRIES, 5, known=5) == (Outcome.COSIGNED, 5)
        assert ask(one, ENTRIES, 9, known=5) == (Outcome.COSIGNED, 9)
        # What it cosigned was forgotten here: it says so, and is shown the right proof.
        assert ask(one, ENTRIES, 12, known=0) == (Outcome.COSIGNED, 12)
        # It has seen more than there is here, or something else.
        assert ask(one, ENTRIES, 8, known=8) == (Outcome.AHEAD, 12)
        assert ask(one, OTHERS, 12, known=12)[0] is Outcome.FORKED
        assert ask(one, OTHERS, 15, known=12)[0] is Outcome.FORKED
        # A log that it does not follow, and a key that it does not trust.
        unknown = SignerKey("other.example/root", Algorithm.ED25519, b"\x01" * 32)
        assert ask(one, ENTRIES, 5, signer=unknown)[0] is Outcome.UNKNOWN_LOG
        stolen = SignerKey(LOG.name, Algorithm.ED25519, b"\x02" * 32)
        assert ask(one, ENTRIES, 15, known=12, signer=stolen)[0] is Outcome.UNKNOWN_LOG
        # None of that moved it.
        assert ask(one, ENTRIES, 20, known=12) == (Outcome.COSIGNED, 20)
        one.stop()
        assert ask(one, ENTRIES, 20, known=20)[0] is Outcome.UNAVAILABLE


# --- the ledger ------------------------------------------------------------------------------------------------------


class Attesting:
    """Rounds by hand, as the thread does them."""

    def __init__(self, services: Services, policy: Path) -> None:
        settings = replace(services.settings, witnesses=str(policy), witness_delay_max=0.1)
        self.services = replace(services, settings=settings)
        self.attestation = Attestation(self.services)

    def round(self) -> None:
        with self.services.store.connect() as connection:
            self.attestation.round(connection)

    @property
    def base(self) -> str:
        state = sealed_log(self.services.log)
        assert state is not None
        return state.base

    def witnessed(self) -> int:
        """The size of the root log that a quorum cosigned, if it holds under the policy."""
        state, trusted = sealed_log(self.services.log), witness_policy(self.services.settings)
        assert state is not None
        assert trusted is not None
        with self.services.store.connect() as connection:
            found = attested.find_witnessed_root(connection, state.base)
        if found is None:
            return 0
        policy = replace(trusted, logs=tuple(verifier_keys(self.services.keyring, state, ROOT)))
        checkpoint, note = policy.open_checkpoint(found.checkpoint.encode())
        assert policy.witnessed(note)
        assert (checkpoint.origin, checkpoint.size) == (found.origin, found.size)
        return found.size

    def signed(self) -> int:
        """The size of the root log that is signed."""
        with self.services.store.connect() as connection:
            root = reading.find_tree(connection, ROOT)
        assert root is not None
        return root.signed_size

    def outcomes(self) -> dict[str, str]:
        with self.services.store.connect() as connection:
            found = attested.list_witnesses(connection, [key.encode() for key in self.policy_keys()])
        return {one.name: one.outcome for one in found}

    def policy_keys(self) -> list[VerifierKey]:
        policy = witness_policy(self.services.settings)
        assert policy is not None
        return list(policy.witnesses.values())


def root_key(services: Services) -> VerifierKey:
    """The key that signs the root log, which is opened for that."""
    open_sealed_log(services.log, services.ledger)
    state = sealed_log(services.log)
    assert state is not None
    return verifier_keys(services.keyring, state, ROOT)[0]


def attesting(services: Services, tmp_path: Path, quorum: str, *witnesses: Witness) -> Attesting:
    """Rounds with these witnesses, of which so many are the quorum."""
    names = " ".join(one.name for one in witnesses)
    file = tmp_path / f"policy-{quorum}"
    file.write_text("".join(one.line for one in witnesses) + f"group g {quorum} {names}\nquorum g\n")
    return Attesting(services, file)


def test_a_quorum_of_two_cosigns_the_root_log_as_it_grows(
    services: Services, tmp_path: Path, two: tuple[Witness, Witness]
) -> None:
    organisation = given.an_organisation(services)
    for one in two:
        one.follow(root_key(services))
        one.start()
    rounds = attesting(services, tmp_path, "all", *two)
    rounds.round()  # nothing is signed yet
    assert rounds.witnessed() == 0
    for _ in range(3):
        given.a_credential(services, organisation)
        given.sealed(services)
        rounds.round()
        assert rounds.witnessed() == rounds.signed()
        assert attested.witnessing_delay(services.store).position == services.log.head()
    assert rounds.outcomes() == {"w1": "cosigned", "w2": "cosigned"}

    with services.store.connect() as connection:
        held = attested.find_witnessed_head(connection, organisation, rounds.base)
        assert held is not None
        head = reading.find_head(connection, organisation, held.size)
    assert head is not None
    assert head.index < rounds.witnessed()


def test_where_one_is_down_the_other_is_enough_for_a_quorum_of_one_and_not_of_two(
    services: Services, tmp_path: Path, two: tuple[Witness, Witness], caplog: pytest.LogCaptureFixture
) -> None:
    up, down = two
    up.follow(root_key(services))
    up.start()
    given.sealed(services)
    both = attesting(services, tmp_path, "all", up, down)
    both.round()
    assert both.witnessed() == 0
    assert both.outcomes() == {"w1": "cosigned", "w2": "unavailable"}
    given.an_organisation(services)
    given.sealed(services)
    until(lambda: attested.witnessing_delay(services.store).seconds_behind > 0.1)  # the bound, as set above
    both.round()
    assert both.witnessed() == 0
    assert "no quorum of witnesses" in caplog.text

    either = attesting(services, tmp_path, "any", up, down)
    either.round()
    assert either.witnessed() == either.signed()
    # Who asks for two finds that the one is not enough, though it is kept.
    with services.store.connect() as connection:
        found = attested.find_witnessed_root(connection, either.base)
    assert found is not None
    text = f"log {root_key(services).encode()}\n{up.line}{down.line}group g all w1 w2\nquorum g\n"
    assert not parse(text.encode()).satisfied(found.checkpoint.encode())

    down.follow(root_key(services))
    down.start()
    again = attesting(services, tmp_path, "all", up, down)  # a policy that asks for more is a reason to ask again
    again.round()
    assert again.witnessed() == again.signed()


def test_a_witness_that_has_seen_more_than_there_is_raises_the_alarm_and_nothing_is_taken_from_it(
    services: Services, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with witness(tmp_path / "w", "w") as one, services.store.connect() as connection:
        one.follow(root_key(services))
        one.start()
        given.an_organisation(services)
        given.sealed(services)
        connection.execute("CREATE TABLE kept AS SELECT * FROM sealed_tree")
        given.an_organisation(services)
        given.sealed(services)
        rounds = attesting(services, tmp_path, "any", one)
        rounds.round()
        assert rounds.witnessed() == rounds.signed()

        # A backup is restored that does not have what was signed last.
        connection.execute(
            "UPDATE sealed_tree t SET size = k.size, frontier = k.frontier, signed_size = k.signed_size, "
            "checkpoint = k.checkpoint FROM kept k WHERE k.tree = t.tree"
        )
        connection.execute("DELETE FROM witness")
        with caplog.at_level(logging.CRITICAL, "keyledger.attesting"):
            rounds.round()
        assert "another history" in caplog.text
        assert rounds.outcomes() == {"w": "ahead"}
        assert rounds.witnessed() == 0


def test_the_ledger_asks_by_itself_and_goes_on_where_another_process_stopped(
    services: Services, open_another: OpenServices, tmp_path: Path
) -> None:
    with witness(tmp_path / "w", "w") as one:
        one.follow(root_key(services))
        one.start()
        rounds = attesting(services, tmp_path, "all", one)
        for process in (services, open_another()):
            settings = replace(rounds.services.settings, witness_seconds=0.1)
            attestation = Attestation(replace(process, settings=settings))
            attestation.start()
            given.an_organisation(services)
            given.sealed(services)
            assert wait_for(services.store, WITNESSING, services.log.head(), timeout=30)
            attestation.stop()
            assert rounds.witnessed() == rounds.signed()
