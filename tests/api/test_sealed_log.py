"""The provable log over HTTP: whoever asks can check what happened without believing us."""

import base64
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.app import create_app
from api.sealing import issue_sealing_key
from api.wiring import Services
from ledger.settings import SettingsError
from ledger.tlog import checkpoints, heads, leaves, merkle, notes, policy, proofs, tiles
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import leaf_hash
from ledger.tlog.notes import Algorithm, SignerKey, VerifierKey
from ledger.values import Role
from projections.sealed.integrating import integrate
from tests import given
from tests.api.conftest import SignedIn, SignIn
from tests.projections.test_sealing import sealing


def opened(auditor: SignedIn, path: str) -> Checkpoint:
    """The newest checkpoint of a log, if its own key signed it."""
    keys = [VerifierKey.parse(key) for key in auditor("GET", path).json["keys"]]
    return checkpoints.parse(notes.open_note(auditor("GET", f"{path}/checkpoint").data, keys).text)


def hashes(encoded: list[str]) -> list[bytes]:
    return [base64.b64decode(one) for one in encoded]


def test_an_auditor_checks_an_event_against_a_checkpoint_and_that_against_the_root_log(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    receipt, _ = given.a_credential(services, organisation)
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    found: dict[str, Any] = auditor(
        "GET", f"{log}/proofs/event?aggregate_id={receipt.id}&version={receipt.version}"
    ).json

    checkpoint = opened(auditor, log)
    entry = found["entry"].encode()
    merkle.verify_inclusion(found["index"], checkpoint.size, leaf_hash(entry), hashes(found["hashes"]), checkpoint.root)
    stored = next(e for e in services.log.stored_after(0, 100) if e.position == receipt.position)
    leaf = leaves.parse(entry)
    assert leaf.digest == leaves.state_digest(base64.b64decode(found["salt"]), stored.state)
    assert (leaf.aggregate, leaf.version, leaf.topic) == (str(receipt.id), str(receipt.version), stored.topic)

    root, head = opened(auditor, "/v1/ledger/root"), found["head"]
    entry = head["entry"].encode()
    merkle.verify_inclusion(head["index"], root.size, leaf_hash(entry), hashes(head["hashes"]), root.root)
    assert heads.parse(entry) == heads.Head(
        auditor("GET", log).json["label"],
        heads.head_digest(base64.b64decode(head["salt"]), checkpoints.encode(checkpoint)),
    )


def test_a_proof_file_verifies_under_a_policy_of_the_logs_key(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    answer = auditor("GET", f"{log}/proofs/event.tlog-proof?aggregate_id={organisation}&version=1")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{organisation}-1.tlog-proof"'
    proof = proofs.parse(answer.data)
    (key,) = auditor("GET", log).json["keys"]
    trusted = policy.parse(f"log {key}\nquorum none\n".encode())
    assert proofs.verify(proof, proof.extra, trusted).size == 1


def test_the_log_only_grows(services: Services, sign_in: SignIn, organisation: UUID) -> None:
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    given.sealed(services)
    before = opened(auditor, log)
    given.a_credential(services, organisation)
    given.sealed(services)
    now = opened(auditor, log)
    found = auditor("GET", f"{log}/proofs/consistency?old={before.size}").json
    assert (found["old"], found["new"]) == (before.size, now.size)
    merkle.verify_consistency(before.size, now.size, hashes(found["hashes"]), before.root, now.root)

    for query, field in ((f"old=0&new={now.size + 1}", "new"), (f"old={now.size}&new=0", "old")):
        refused = auditor("GET", f"{log}/proofs/consistency?{query}")
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, field)


def test_tiles_give_the_root_of_the_checkpoint(services: Services, sign_in: SignIn, organisation: UUID) -> None:
    for _ in range(3):
        given.a_credential(services, organisation)
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    checkpoint = opened(auditor, log)

    def fetch(level: tiles.Level, index: int, width: int) -> bytes:
        answer = auditor("GET", f"{log}/{tiles.tile_path(level, index, width)}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        return bytes(answer.data)

    assert merkle.root(checkpoint.size, tiles.reader_of_tiles(checkpoint.size, fetch)) == checkpoint.root
    entries = tiles.decode_bundle(fetch("entries", 0, checkpoint.size), checkpoint.size)
    assert b"".join(map(leaf_hash, entries)) == fetch(0, 0, checkpoint.size)

    assert auditor("GET", f"{log}/tile/0/000").status_code == 404  # not full yet
    assert auditor("GET", f"{log}/tile/0/000.p/{checkpoint.size + 1}").status_code == 404
    for path in ("0/0", "0/000.p/256", "64/000", "x/000", "0/000/../001", "entries/000.p/0"):
        assert auditor("GET", f"{log}/tile/{path}").status_code in (404, 422)


def test_what_is_not_signed_yet_says_so_and_what_is_not_there_is_not_found(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    for path in (log, f"{log}/checkpoint", f"{log}/proofs/event?aggregate_id={organisation}&version=1"):
        answer = auditor("GET", path)
        assert (answer.status_code, answer.json["code"]) == (503, "not_sealed_yet")
        assert int(answer.headers["Retry-After"]) > 0
    given.sealed(services)
    other = given.an_organisation(services)
    for aggregate, version in ((organisation, 2), (other, 1), (UUID(int=5), 1)):
        answer = auditor("GET", f"{log}/proofs/event?aggregate_id={aggregate}&version={version}")
        assert answer.status_code == 404
    given.sealed(services)
    assert auditor("GET", f"{log}/proofs/event?aggregate_id={other}&version=1").status_code == 404


def test_an_auditor_of_one_organisation_learns_nothing_of_another(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    other = given.an_organisation(services, "Secret plans")
    given.a_credential(services, other)
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    size = opened(auditor, "/v1/ledger/root").size
    told = b"".join(
        [
            auditor("GET", f"/v1/ledger/root/{tiles.tile_path('entries', 0, size)}").data,
            auditor("GET", "/v1/ledger/root/checkpoint").data,
            auditor("GET", f"/v1/organisations/{organisation}/ledger/tile/entries/000.p/1").data,
        ]
    )
    assert str(other).encode() not in told
    for path in (f"/v1/organisations/{other}/ledger", f"/v1/organisations/{other}/ledger/tile/0/000.p/1"):
        assert auditor("GET", path).status_code == 404
    assert auditor("GET", "/v1/ledger/installation/checkpoint").status_code == 403


WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE, b"\x07" * 32)


def test_an_event_is_proved_by_what_witnesses_cosigned_however_much_was_signed_since(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    assert auditor("GET", "/v1/ledger/root/checkpoint?witnessed=true").status_code in (404, 503)
    given.sealed(services)
    assert auditor("GET", "/v1/ledger/root/checkpoint?witnessed=true").status_code == 404
    given.witnessed(services, WITNESS)
    receipt, _ = given.a_credential(services, organisation)
    given.sealed(services)

    trusted = policy.parse(
        auditor("GET", f"{log}/policy").data.replace(
            b"quorum none", f"witness w1 {WITNESS.verifier.encode()}\nquorum w1".encode()
        )
    )
    old = auditor("GET", f"{log}/proofs/event?aggregate_id={organisation}&version=1").json
    tree, _ = trusted.open_checkpoint(old["checkpoint"].encode())
    merkle.verify_inclusion(old["index"], tree.size, leaf_hash(old["entry"].encode()), hashes(old["hashes"]), tree.root)
    head = old["head"]
    root, note = trusted.open_checkpoint(head["checkpoint"].encode())
    assert head["witnessed"]
    assert trusted.witnessed(note)
    assert head["checkpoint"] == auditor("GET", "/v1/ledger/root/checkpoint?witnessed=true").text
    entry = head["entry"].encode()
    merkle.verify_inclusion(head["index"], root.size, leaf_hash(entry), hashes(head["hashes"]), root.root)
    digest = heads.head_digest(base64.b64decode(head["salt"]), checkpoints.encode(tree))
    assert heads.parse(entry).digest == digest

    # What happened since is in a checkpoint that nobody cosigned yet, and the proof says so.
    new = auditor("GET", f"{log}/proofs/event?aggregate_id={receipt.id}&version=1").json
    assert trusted.open_checkpoint(new["checkpoint"].encode())[0].size > tree.size
    assert not new["head"]["witnessed"]
    given.witnessed(services, WITNESS)
    assert auditor("GET", f"{log}/proofs/event?aggregate_id={receipt.id}&version=1").json["head"]["witnessed"]


def test_the_oldest_timestamp_that_covers_an_event_proves_when_it_was_there(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    path = f"{log}/proofs/timestamp?aggregate_id={organisation}&version=1"
    given.sealed(services)
    assert auditor("GET", path).status_code == 404
    given.stamped(services, b"first")
    for _ in range(2):
        given.a_credential(services, organisation)
        given.sealed(services)
    given.stamped(services, b"second")

    found = auditor("GET", path).json
    assert base64.b64decode(found["timestamp"]) == b"first"
    tree, entry, head = checkpoints.parse(found["text"]), found["entry"].encode(), found["head"]
    merkle.verify_inclusion(found["index"], tree.size, leaf_hash(entry), hashes(found["hashes"]), tree.root)
    digest = heads.head_digest(base64.b64decode(head["salt"]), found["text"])
    assert heads.parse(head["entry"].encode()).digest == digest
    trusted = policy.parse(auditor("GET", "/v1/ledger/policy").data)
    root, _ = trusted.open_checkpoint(head["checkpoint"].encode())
    merkle.verify_inclusion(
        head["index"], root.size, leaf_hash(head["entry"].encode()), hashes(head["hashes"]), root.root
    )


def test_the_policy_names_the_operators_witnesses_and_how_many_must_cosign(
    services: Services, organisation: UUID, tmp_path: Path
) -> None:
    given.sealed(services)
    file = tmp_path / "witnesses"
    file.write_text(f"witness w1 {WITNESS.verifier.encode()} https://witness.example/\nquorum w1\n")
    asked = replace(services, settings=replace(services.settings, witnesses=str(file)))
    operator_id, token = given.an_operator(services, Role.AUDITOR, organisation_id=organisation)
    auditor = SignedIn(create_app(asked).test_client(), token, operator_id)
    log = f"/v1/organisations/{organisation}/ledger"
    told = policy.parse(auditor("GET", f"{log}/policy").data)
    assert {key.encode() for key in told.logs} == {
        *auditor("GET", log).json["keys"],
        *auditor("GET", "/v1/ledger/root").json["keys"],
    }
    assert (dict(told.witnesses), told.quorum) == ({"w1": WITNESS.verifier}, "w1")


@pytest.mark.parametrize(
    "text",
    ["", "quorum none\n", "witness w1 nonsense\nquorum w1\n", f"witness w {WITNESS.verifier.encode()}\nquorum w\n"],
)
def test_a_file_that_names_nobody_to_ask_stops_the_service_at_its_start(
    services: Services, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "witnesses"
    file.write_text(text)
    asked = replace(services, settings=replace(services.settings, witnesses=str(file)))
    with pytest.raises(SettingsError, match="KEYLEDGER_WITNESSES"):
        create_app(asked)


def test_an_administrator_of_the_installation_proves_what_concerns_no_organisation(
    services: Services, sign_in: SignIn
) -> None:
    administrator = sign_in(Role.ADMINISTRATOR)
    given.sealed(services)
    log, event = "/v1/ledger/installation", f"aggregate_id={administrator.operator_id}&version=1"
    trusted = policy.parse(administrator("GET", f"{log}/policy").data)
    assert trusted.labels == {administrator("GET", log).json["origin"]: administrator("GET", log).json["label"]}
    proof = proofs.parse(administrator("GET", f"{log}/proofs/event.tlog-proof?{event}").data)
    checkpoint = proofs.verify(proof, proof.extra, trusted)
    assert leaves.parse(proof.extra).aggregate == str(administrator.operator_id)
    found = administrator("GET", f"{log}/proofs/event?{event}").json
    assert found["entry"].encode() == proof.extra
    root, head = opened(administrator, "/v1/ledger/root"), found["head"]
    merkle.verify_inclusion(
        head["index"], root.size, leaf_hash(head["entry"].encode()), hashes(head["hashes"]), root.root
    )
    grown = administrator("GET", f"{log}/proofs/consistency?old=1").json
    assert grown["new"] == checkpoint.size
    assert administrator("GET", f"{log}/proofs/timestamp?{event}").status_code == 404
    unknown = administrator("GET", f"{log}/proofs/event?aggregate_id={UUID(int=5)}&version=1")
    assert unknown.status_code == 404


def test_the_installations_events_are_for_those_of_all_organisations(
    services: Services, sign_in: SignIn, organisation: UUID
) -> None:
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    event = f"aggregate_id={UUID(int=5)}&version=1"
    for path in ("policy", f"proofs/event?{event}", f"proofs/event.tlog-proof?{event}", "proofs/consistency?old=0"):
        assert auditor("GET", f"/v1/ledger/installation/{path}").status_code == 403


def test_the_entries_of_the_root_log_give_its_root(services: Services, sign_in: SignIn, organisation: UUID) -> None:
    given.a_credential(services, organisation)
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    entries = auditor("GET", "/v1/ledger/root/entries").data.splitlines()
    frontier = merkle.Frontier()
    frontier.extend([leaf_hash(entry) for entry in entries])
    root = opened(auditor, "/v1/ledger/root")
    assert (frontier.size, frontier.root()) == (root.size, root.root)


def test_a_tile_that_nobody_signed_is_not_served(services: Services, sign_in: SignIn, organisation: UUID) -> None:
    """It may still become another, and whoever has it once keeps it for ever."""
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    size = opened(auditor, log).size
    given.a_credential(services, organisation)
    with sealing(services) as by_hand:
        integrate(services.log, by_hand.connection, by_hand.log.base)
    for level in (0, "entries"):
        assert auditor("GET", f"{log}/tile/{level}/000.p/{size}").status_code == 200
        assert auditor("GET", f"{log}/tile/{level}/000.p/{size + 1}").status_code == 404
    given.sealed(services)
    assert auditor("GET", f"{log}/tile/0/000.p/{size + 1}").status_code == 200


def test_a_key_that_was_replaced_is_in_no_policy(services: Services, sign_in: SignIn, organisation: UUID) -> None:
    given.sealed(services)
    auditor = sign_in(Role.AUDITOR, organisation_id=organisation)
    log = f"/v1/organisations/{organisation}/ledger"
    before = policy.parse(auditor("GET", f"{log}/policy").data).logs
    services.ledger.handle(issue_sealing_key(services.keyring, given.context(), overlap=timedelta(0)))
    given.sealed(services)
    now = policy.parse(auditor("GET", f"{log}/policy").data).logs
    assert (len(before), len(now)) == (2, 2)
    assert set(before).isdisjoint(now)
    assert {key.encode() for key in now} > set(auditor("GET", log).json["keys"])
