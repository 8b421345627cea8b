"""`keyledger log`."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.wiring import Services
from ledger.tlog.notes import Algorithm, SignerKey
from ledger.values import SEALED_LOG_ID
from projections.sealed.attested import WitnessStatus, keep_status
from projections.sealed.integrating import integrate
from tests import given
from tests.cli.conftest import CommandLine
from tests.projections.test_sealing import sealing


def test_before_anything_seals_the_status_says_what_to_do(keyledger: CommandLine) -> None:
    ran = keyledger("log", "status")
    assert ran.exit_code == 7
    assert "keyledger serve" in ran.err


def test_the_status_tells_how_far_events_are_sealed(keyledger: CommandLine, services: Services) -> None:
    given.an_organisation(services)
    given.sealed(services)
    status = keyledger.ok("log", "status", "--json").json
    assert (status["sealed_position"], status["seconds_behind"]) == (services.log.head(), 0)
    assert (status["generation"], len(status["keys"]), status["refusals"]) == (1, 1, [])
    assert status["name"] in keyledger.ok("log", "status").out


def test_a_key_is_rotated_with_an_overlap(keyledger: CommandLine, services: Services) -> None:
    given.sealed(services)
    keyledger.ok("log", "rotate-key", "--reason", "yearly")
    before, newest = keyledger.ok("log", "rotate-key", "--overlap", "0", "--json").json["keys"][1:]
    assert (before["expires_at"] is None, newest["expires_at"]) == (False, None)
    assert newest["kid"] in keyledger.ok("history", SEALED_LOG_ID).out
    assert keyledger("log", "rotate-key", "--overlap", "400w").exit_code == 3


def test_a_restore_is_declared_only_where_something_was_lost(keyledger: CommandLine, services: Services) -> None:
    organisation = given.an_organisation(services)
    given.sealed(services)
    refused = keyledger("log", "declare-restore", "--yes")
    assert refused.exit_code == 5
    assert "nothing to declare" in refused.err

    # The signer remembers more than the log holds, as it does after a restore.
    with services.store.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM sealed_tree")
        given.a_credential(services, organisation)
        given.sealed(services)
        connection.execute(
            "UPDATE sealed_tree t SET size = k.size, frontier = k.frontier FROM kept k WHERE k.tree = t.tree"
        )
    status = keyledger("log", "status")
    assert status.exit_code == 1
    assert "backup" in status.out
    assert keyledger("log", "declare-restore", stdin="n\n").exit_code == 1
    declared = keyledger.ok("log", "declare-restore", "--yes", "--reason", "disk lost", "--json").json
    assert declared["generation"] == 2
    told = keyledger.ok("history", SEALED_LOG_ID).out
    assert f"organisations/{organisation}" in told
    assert "disk lost" in told


def test_no_restore_is_declared_of_events_that_were_changed_before_they_were_signed(
    keyledger: CommandLine, services: Services
) -> None:
    organisation = given.an_organisation(services)
    given.sealed(services)
    given.a_credential(services, organisation)
    with sealing(services) as by_hand:
        integrate(services.log, by_hand.connection, by_hand.log.base)
        by_hand.tamper("UPDATE ledger_events SET state = '{}' WHERE topic = 'credential.created'")
    assert "is not what was recorded" in keyledger("log", "status").out
    refused = keyledger("log", "declare-restore", "--yes")
    assert (refused.exit_code, "audit check" in refused.err) == (5, True)


def test_the_status_says_unwitnessed_and_tells_what_became_of_each_witness(
    keyledger: CommandLine, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given.sealed(services)
    assert "unwitnessed" in keyledger.ok("log", "status").out

    key = SignerKey("w.example/w1", Algorithm.COSIGNATURE, b"\x07" * 32)
    file = tmp_path / "witnesses"
    file.write_text(f"witness w1 {key.verifier.encode()} https://w.example/\nquorum w1\n")
    monkeypatch.setenv("KEYLEDGER_WITNESSES", str(file))
    given.witnessed(services, key)
    status = keyledger.ok("log", "status", "--json").json
    assert (status["witnessed_size"], status["seconds_unwitnessed"], status["alarms"]) == (status["root_size"], 0, [])

    monkeypatch.setenv("KEYLEDGER_WITNESS_DELAY_MAX", "0.1")
    given.an_organisation(services)
    given.sealed(services)
    time.sleep(0.2)
    status = keyledger("log", "status")
    assert status.exit_code == 1
    assert "no quorum cosigned" in status.out

    now = datetime.now(UTC)
    ahead = WitnessStatus(key.verifier.encode(), "w1", "log/root", 9, None, now, "ahead", "it cosigned 9 leaves")
    with services.store.connect() as connection:
        keep_status(connection, ahead)
    told = keyledger("log", "status")
    assert told.exit_code == 1
    assert "witness w1 was shown another history: it cosigned 9 leaves" in told.out
